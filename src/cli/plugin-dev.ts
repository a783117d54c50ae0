/** `gatehouse plugin dev`: what an author sees of it. */

import type { Command } from "commander";
import { printable } from "../printable.ts";
import type { DevEvent } from "./dev/dev.ts";
import { PackError } from "./pack.ts";
import { EXIT_HELP, guarded } from "./plugin-report.ts";
import { requestLines } from "./tail-text.ts";

interface DevCommandOptions {
  readonly port?: string;
  readonly upstream?: string;
  readonly json?: boolean;
}

/** Adds `plugin dev`, and the same as `dev`. */
export function registerDevCommands(program: Command, plugin: Command): void {
  for (const command of [plugin.command("dev"), program.command("dev")])
    command
      .description("a gateway with this plugin and an echo upstream: each save is in force at once")
      .argument("[dir]", "directory of the plugin", ".")
      .option("--port <port>", "port of the proxy on loopback (default: 8000, or any if that is taken)")
      .option("--upstream <url>", "a service in place of the echo upstream")
      .option("--json", "print what happens as lines of JSON")
      .addHelpText("after", EXIT_HELP)
      .action((dir: string, options: DevCommandOptions) => guarded(options.json, () => dev(dir, options)));
}

async function dev(dir: string, options: DevCommandOptions): Promise<void> {
  const port = options.port === undefined ? null : Number(options.port);
  if (port !== null && !(Number.isInteger(port) && port >= 0 && port <= 65_535))
    throw new PackError([`--port is a port from 0 to 65535, not '${options.port}'`]);
  const stop = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => stop.abort());
  const { develop } = await import("./dev/dev.ts");
  await develop(dir, {
    port,
    upstream: options.upstream ?? null,
    signal: stop.signal,
    tell: options.json ? (event) => console.log(JSON.stringify(event)) : show,
  });
}

function show(event: DevEvent): void {
  if (event.kind === "request") console.log(requestLines(event, { named: false }).join("\n"));
  else if (event.kind === "dropped") console.log(`${event.requests} requests are not shown: too many`);
  else if (event.kind === "ready")
    console.log(
      `gateway: ${event.proxy}   upstream: ${event.upstream}   Admin API: ${event.admin}\n` +
        `try: curl -i ${event.proxy}/hello      Ctrl-C ends it\n`,
    );
  else if (event.kind === "loaded")
    console.log(`${event.plugin}@${event.version} is in force, ${event.ms} ms after the save`);
  else
    console.log([`NOT in force; the version before goes on:`, ...event.reasons.map(printable)].join("\n  "));
}
