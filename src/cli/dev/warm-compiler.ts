/** Compilers as `plugin dev` runs them: what takes long to load stays loaded. */
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import {
  ASSEMBLYSCRIPT_DIRECTORY,
  assemblyScriptArguments,
  compile,
  type Language,
} from "../../../wasm-plugins/compilers.ts";

const CHILD = fileURLToPath(new URL("./asc-child.ts", import.meta.url));

export class WarmCompiler {
  #child: ChildProcess | null = null;
  #jobs = 0;

  /** @throws {Error} with the compiler's words from the second line on. */
  readonly compile: typeof compile = (language: Language, source, target, cache) =>
    language === "AssemblyScript"
      ? this.#assemblyScript(source, target)
      : compile(language, source, target, cache);

  close(): void {
    this.#child?.kill();
  }

  async #assemblyScript(source: string, target: string): Promise<void> {
    const child = this.#running();
    const id = ++this.#jobs;
    const { promise, resolve } = Promise.withResolvers<string | null>();
    const onMessage = (message: unknown) => {
      const answer = message as { readonly id: number; readonly failed: string | null };
      if (answer.id === id) resolve(answer.failed);
    };
    const onExit = () => resolve("the compiler has ended");
    child.on("message", onMessage);
    child.once("exit", onExit);
    child.send({ id, args: assemblyScriptArguments(source, target) });
    const failed = await promise;
    child.off("message", onMessage);
    child.off("exit", onExit);
    if (failed !== null) throw new Error(`${source} does not compile:\n${failed}`);
  }

  #running(): ChildProcess {
    if (this.#child === null || this.#child.exitCode !== null || this.#child.signalCode !== null)
      this.#child = fork(CHILD, {
        cwd: ASSEMBLYSCRIPT_DIRECTORY,
        stdio: ["ignore", "ignore", "ignore", "ipc"],
      });
    return this.#child;
  }
}
