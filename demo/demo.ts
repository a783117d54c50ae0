/**
 * The demo: a gateway, an echo upstream, two workspaces and one plugin of each kind, in one command.
 *
 *     npm run demo              serves until Ctrl-C and prints what to try
 *     npm run demo -- --check   tries it itself, prints what came of it, and ends
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { startEcho } from "../src/cli/dev/echo.ts";
import { freePort } from "../src/cli/dev/free-port.ts";
import { logLine } from "../src/cli/dev/log-line.ts";
import { packDirectory } from "../src/cli/pack.ts";
import { publishFile } from "../src/cli/publish.ts";
import { buildGuests } from "../wasm-plugins/build.ts";
import { printLoopResult, runLoop, type World } from "./loop.ts";
import { ACME, configuration, GLOBEX, UPLOADS } from "./world.ts";

const ROOT = join(import.meta.dirname, "..");
/** Where `npm run demo:loop` finds the demo that is running; not for one that tries itself. */
const NOTES = join(ROOT, ".demo.json");
const check = process.argv.includes("--check");

const echo = await startEcho();
const prefix = await mkdtemp(join(tmpdir(), "gatehouse-demo-"));
let gateway: ChildProcess | null = null;
let stopping = false;

process.on("SIGINT", () => void stop(0));
process.on("SIGTERM", () => void stop(0));

try {
  await main();
} catch (error) {
  console.error(`the demo could not start: ${(error as Error).message}`);
  await stop(1);
}

async function main(): Promise<void> {
  console.log("building the example guests (AssemblyScript, TypeScript) ...");
  const guests = await buildGuests([...new Set(UPLOADS.map(({ guest }) => guest))]);
  const config = join(prefix, "kong.json");
  await writeConfig(config, { guests: false, loop: false });
  const ports = await startGateway(config);
  const admin = `http://127.0.0.1:${ports.admin}`;
  const proxy = `http://127.0.0.1:${ports.proxy}`;
  for (const { workspace, guest } of UPLOADS) {
    const folder = guests.find(({ name }) => name === guest)?.folder as string;
    const file = join(prefix, `${guest}.tgz`);
    await writeFile(file, (await packDirectory(folder)).bytes);
    const { name, version } = await publishFile(file, { admin }, workspace);
    console.log(`uploaded ${name}@${version} to workspace ${workspace}`);
  }
  await postConfig(admin, { guests: true, loop: false });
  const world = { admin, proxy, echoPort: echo.port, prefix };
  const lines = [
    {
      what: "a native plugin: key-auth refuses this one (401); with -H 'apikey: ada-secret' it passes (200)",
      curl: `curl -i ${proxy}/orders/1 -H 'Host: ${ACME}'`,
    },
    {
      what: "a WASM plugin (AssemblyScript): path-guard refuses this path (403)",
      curl: `curl -i ${proxy}/orders/internal -H 'Host: ${ACME}'`,
    },
    {
      what: "a JavaScript plugin in an isolate: X-Hello on the request and on the response",
      curl: `curl -i ${proxy}/hello -H 'Host: ${GLOBEX}'`,
    },
  ];
  if (check) return runCheck(lines, world);
  await writeFile(NOTES, JSON.stringify(world));
  console.log("\nThe gateway serves. Try, in another terminal:\n");
  for (const { what, curl } of lines) console.log(`  # ${what}\n  ${curl}\n`);
  console.log(
    "  # upload a plugin with an infinite loop into acme, and see what globex notices of it\n" +
      "  npm run -s demo:loop\n\n" +
      `Log: ${join(prefix, "gateway.log")}. Ctrl-C ends the demo.`,
  );
}

/** Tries what the demo prints, then the infinite loop. */
async function runCheck(lines: { what: string; curl: string }[], world: World): Promise<void> {
  const passes = [
    async (url: string, host: string) =>
      (await answerOf(url, { host })).status === 401 &&
      (await answerOf(url, { host, apikey: "ada-secret" })).status === 200,
    async (url: string, host: string) => (await answerOf(url, { host, apikey: "ada-secret" })).status === 403,
    async (url: string, host: string) => {
      const { status, headers, body } = await answerOf(url, { host });
      return (
        status === 200 &&
        headers["x-hello"] === "Hello, Globex" &&
        body.includes('"x-hello": "Hello, Globex"')
      );
    },
  ];
  let failed = false;
  for (const [i, { what, curl }] of lines.entries()) {
    const [, url = "", host = ""] = /curl -i (\S+) -H 'Host: ([^']+)'/.exec(curl) ?? [];
    const passed = (await passes[i]?.(url, host)) === true;
    failed ||= !passed;
    console.log(`${passed ? "ok    " : "FAILED"} ${what}`);
  }
  const result = await runLoop(world);
  printLoopResult(result);
  failed ||= result.neighbourErrors > 0 || result.verdicts === 0;
  await stop(failed ? 1 : 0);
}

async function answerOf(url: string, headers: Record<string, string>) {
  const { request } = await import("undici");
  const answer = await request(url, { headers });
  return { status: answer.statusCode, headers: answer.headers, body: await answer.body.text() };
}

async function startGateway(config: string): Promise<{ proxy: number; admin: number; status: number }> {
  const [proxy, admin, status] = await Promise.all([8000, 8001, 8007].map(freePort));
  const workspaces = UPLOADS.map(({ workspace }) => workspace).join(",");
  gateway = spawn(process.execPath, [join(ROOT, "src/main.ts"), "start", "--config", config], {
    env: {
      ...process.env,
      GATEHOUSE_PREFIX: prefix,
      GATEHOUSE_PROXY_LISTEN: `127.0.0.1:${proxy}`,
      GATEHOUSE_ADMIN_LISTEN: `127.0.0.1:${admin}`,
      GATEHOUSE_STATUS_LISTEN: `127.0.0.1:${status}`,
      // Without root there is no fence by the operating system; the demo's plugins are its own.
      GATEHOUSE_UNFENCED_UPLOADS: workspaces,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  gateway.on("exit", (code) => {
    if (!stopping) console.error(`the gateway ended with code ${code}`);
    void stop(1);
  });
  const log: string[] = [];
  for await (const line of createInterface({ input: gateway.stdout as NodeJS.ReadableStream })) {
    log.push(line);
    const parsed = logLine(line);
    if (parsed?.msg !== "ready") continue;
    void keepLog(log);
    const by = parsed.fence === "nothing" ? "is NOT in force" : `is in force, by ${parsed.fence}`;
    console.log(`gateway ready; the operating system's fence around plugins ${by}`);
    return parsed.ports as { proxy: number; admin: number; status: number };
  }
  throw new Error(`the gateway did not become ready:\n${log.join("\n")}`);
}

async function keepLog(log: string[]): Promise<void> {
  const file = join(prefix, "gateway.log");
  await writeFile(file, `${log.join("\n")}\n`);
  gateway?.stdout?.on("data", (chunk: Buffer) => void writeFile(file, chunk, { flag: "a" }));
  gateway?.stdout?.resume();
}

async function writeConfig(file: string, options: { guests: boolean; loop: boolean }): Promise<void> {
  await writeFile(file, JSON.stringify(configuration(echo.port, options)));
}

async function postConfig(admin: string, options: { guests: boolean; loop: boolean }): Promise<void> {
  const response = await fetch(`${admin}/config`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(configuration(echo.port, options)),
  });
  if (response.status !== 201) throw new Error(await response.text());
}

async function stop(code: number): Promise<void> {
  if (stopping) return;
  stopping = true;
  if (gateway !== null && gateway.exitCode === null) {
    gateway.kill("SIGTERM");
    await once(gateway, "exit");
  }
  echo.close();
  await rm(prefix, { recursive: true, force: true });
  if (!check) await rm(NOTES, { force: true });
  process.exit(code);
}
