/** `gatehouse start`: the gateway in the foreground until SIGTERM or SIGINT. */
import { Gateway } from "../gateway/gateway.ts";
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
