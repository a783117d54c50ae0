/** `gatehouse start`: the gateway in the foreground until SIGTERM or SIGINT. */
import { Gateway, StartError } from "../gateway/gateway.ts";
import { loadSettings } from "../settings.ts";

export interface StartOptions {
  readonly config?: string | undefined;
  readonly settings?: string | undefined;
  /** `name=value` */
  readonly set?: readonly string[] | undefined;
}

/** Exit codes: 1 cannot start, 2 the settings are wrong. */
export async function start(options: StartOptions): Promise<void> {
  if (process.platform !== "linux") {
    console.error(`gatehouse runs on Linux (it needs SO_REUSEPORT and /proc); this is ${process.platform}`);
    process.exit(2);
  }
  const flags: Record<string, string> = {};
  for (const pair of options.set ?? []) {
    const equals = pair.indexOf("=");
    if (equals < 1) {
      console.error(`--set ${pair}: write it as name=value`);
      process.exit(2);
    }
    flags[pair.slice(0, equals)] = pair.slice(equals + 1);
  }
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
    await gateway.stop();
    process.exit(0);
  };
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
  try {
    await gateway.start();
  } catch (error) {
    console.error(error instanceof StartError ? error.message : error);
    process.exit(1);
  }
}
