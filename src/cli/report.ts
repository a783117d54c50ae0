/** What a command comes to, told to people or, with `--json`, to programs. */
import { writeFile } from "node:fs/promises";
import { Unusable } from "./configuration-file.ts";

export interface Result {
  readonly lines: readonly string[];
  readonly json: object;
  /** Exit code; 0 if absent. */
  readonly exit?: number;
}

/** How a command ends that could not do its work. */
export interface Ending {
  readonly exit: number;
  /** What programs are told beside the message. */
  readonly json?: object;
}

/** @param endingOf null for errors that are no affair of whoever asked. */
export async function report(
  { json = false }: { readonly json?: boolean },
  work: () => Promise<Result>,
  endingOf: (error: Error) => Ending | null,
): Promise<void> {
  try {
    const { lines, json: told, exit = 0 } = await work();
    console.log(json ? JSON.stringify(told) : lines.join("\n"));
    process.exitCode = exit;
  } catch (error) {
    const ending = endingOf(error as Error);
    if (ending === null) throw error;
    const { message } = error as Error;
    if (json) console.log(JSON.stringify({ error: message, ...ending.json }));
    else console.error(message);
    process.exitCode = ending.exit;
  }
}

/** Writes a file that only its owner may read: configurations have secrets in them. @throws {Unusable} */
export async function writeOwn(file: string, text: string): Promise<void> {
  await writeFile(file, text, { mode: 0o600 }).catch((error: NodeJS.ErrnoException) => {
    throw new Unusable(`${file} cannot be written (${error.code})`);
  });
}
