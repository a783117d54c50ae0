/** `gatehouse start`: the gateway in the foreground until SIGTERM or SIGINT. */
import { mkdirSync } from "node:fs";
import { enableCompileCache } from "node:module";
import { join } from "node:path";
import { StartError } from "../gateway/start-error.ts";
import { loadSettings } from "../settings.ts";

export interface StartOptions {
  readonly config?: string | undefined;
  /** Path of a settings file. */
  readonly settings?: string | undefined;
  /** Settings given on the command line, by name. */
  readonly flags?: Readonly<Record<string, string | undefined>>;
}

/** Exit codes: 1 cannot start, 2 the settings are wrong. */
export async function startGateway(options: StartOptions): Promise<void> {
  if (process.platform !== "linux") {
    console.error(`gatehouse runs on Linux (it needs SO_REUSEPORT and /proc); this is ${process.platform}`);
    process.exit(2);
  }
  const flags = { ...options.flags };
  if (options.config !== undefined) flags.declarative_config = options.config;
  const { settings, errors } = loadSettings({ flags, file: options.settings, env: process.env });
  if (errors !== undefined) {
    for (const error of errors) console.error(error);
    process.exit(2);
  }
  keepCompiledCode(settings.prefix);
  const { Gateway } = await import("../gateway/gateway.ts");
  const gateway = new Gateway(settings);
  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    // An orderly exit waits for all threads, and one that is stuck outside of JavaScript never ends.
    if (!(await gateway.stop())) process.kill(process.pid, "SIGKILL");
    process.exit(0);
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  try {
    await gateway.start();
  } catch (error) {
    console.error(error instanceof StartError ? error.message : error);
    await gateway.flushLog();
    process.exit(1);
  }
}

/**
 * Compiled code of an earlier start serves again, data threads included: a start and the replacement of a lost thread
 * take half the time, and the gateway some 25 MB less (types are stripped once, not in every thread). NODE_COMPILE_CACHE
 * names another place.
 */
function keepCompiledCode(prefix: string): void {
  if (process.env.NODE_COMPILE_CACHE !== undefined) return;
  const directory = join(prefix, "compiled");
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  } catch {
    return; // a prefix that cannot be written is told of when something must be
  }
  process.env.NODE_COMPILE_CACHE = directory; // threads start with a copy of the environment
  enableCompileCache(directory);
}
