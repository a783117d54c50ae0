/** Floods of log lines, and a log that nobody reads: neither stops the gateway or fills the disk. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { accessPlugin, bundleSource } from "../sandbox/sandbox.ts";
import { send } from "../support/client.ts";
import { startGateway } from "../support/gateway.ts";
import { startOrigin } from "../support/origin.ts";
import { packFiles, publish } from "./packages.ts";

const ROOT = join(import.meta.dirname, "..", "..");

interface Unread extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly url: string;
  readonly statusUrl: string;
}

/** A gateway with its access log on stdout, of which nobody reads more than the word "ready". */
async function startUnread(): Promise<Unread> {
  const prefix = await mkdtemp(join(tmpdir(), "gatehouse-test-"));
  const settings = {
    prefix,
    proxy_listen: "127.0.0.1:0",
    admin_listen: "off",
    status_listen: "127.0.0.1:0",
    proxy_access_log: "/dev/stdout",
  };
  const env: NodeJS.ProcessEnv = { ...process.env };
  for (const [name, value] of Object.entries(settings)) env[`GATEHOUSE_${name.toUpperCase()}`] = value;
  const child = spawn(process.execPath, ["src/main.ts", "start"], {
    cwd: ROOT,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  for await (const part of child.stdout.iterator({ destroyOnReturn: false })) {
    said += part;
    if (said.includes('"ready"')) break;
  }
  const ports = JSON.parse(await readFile(join(prefix, "ports.json"), "utf8"));
  return {
    child,
    url: `http://127.0.0.1:${ports.proxy}`,
    statusUrl: `http://127.0.0.1:${ports.status}`,
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGKILL");
        await once(child, "exit");
      }
      await rm(prefix, { recursive: true, force: true });
    },
  };
}

/** Far more access log than a pipe holds. */
async function flood(url: string, count: number): Promise<void> {
  const path = "x".repeat(1000);
  for (let sent = 0; sent < count; sent += 50)
    await Promise.all(Array.from({ length: 50 }, () => send(`${url}/${path}`)));
}

test("a gateway whose log nobody reads goes on; once it is read, every line is there to the last", async () => {
  await using gateway = await startUnread();
  await flood(gateway.url, 1000);
  assert.equal((await send(`${gateway.statusUrl}/status/ready`)).status, 200);
  gateway.child.kill("SIGTERM");
  let said = "";
  for await (const part of gateway.child.stdout as NodeJS.ReadableStream) said += part;
  const lines = said.split("\n").slice(0, -1);
  assert.equal(lines.filter((line) => line.includes('"status":404')).length, 1000);
  assert.equal(JSON.parse(lines.at(-1) as string).msg, "stopped");
});

test("a gateway whose log nobody reads ends when it is told to", async () => {
  await using gateway = await startUnread();
  await flood(gateway.url, 1000);
  gateway.child.kill("SIGTERM");
  await once(gateway.child, "exit");
});

test("a guest that logs without end has its burst in the log, and one line says how much was left out", async () => {
  const source = accessPlugin('for (let i = 0; i < 20; i++) host.log("warn", "flood " + i);');
  const manifest = {
    manifest: 1,
    name: "flood",
    version: "1.0.0",
    runtime: "isolate",
    entry: "plugin.js",
    phases: ["access"],
    grants: { log: true },
  };
  await using origin = await startOrigin();
  await using gateway = await startGateway({
    config: { _format_version: "3.0" },
    settings: { data_threads: "1" },
  });
  await publish(gateway, await packFiles(manifest, "plugin.js", await bundleSource(source)));
  const routes = [{ name: "r", paths: ["/"], plugins: [{ name: "flood@1.0.0" }] }];
  await gateway.reload({ _format_version: "3.0", services: [{ name: "s", url: origin.url, routes }] });
  await Promise.all(Array.from({ length: 100 }, () => send(gateway.url)));
  const line = await gateway.log(({ msg }) => /more lines of plugins suppressed/.test(String(msg)));
  assert.equal(line.workspace, "default");
  const written = gateway.logs.filter(({ msg }) => /^flood \d+$/.test(String(msg))).length;
  assert.ok(written >= 200, "a burst of them is there");
  assert.equal(written + (line.suppressed as number), 100 * 20);
});
