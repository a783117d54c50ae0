/** `GET /plugin-usage`: what uploaded plugins have cost, as the Admin API shows it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Ledger } from "../../src/sandbox/ledger.ts";
import { JSON_TYPE, startAdmin } from "./gateway.ts";

const ledger = new Ledger();
Object.assign(ledger.enter("default", "hello", "1.0.0"), {
  calls: 5,
  cpuMicros: 1500,
  fuel: 70,
  wallMs: 12,
  memoryBytes: 4096,
  hostCalls: 2,
  bytesIn: 300,
  bytesOut: 200,
  failures: { trap: 1, fuel: 2 },
});
for (let i = 0; i < 120; i++) ledger.enter("acme", "swapped", `1.0.${i}`).calls++;
const admin = await startAdmin({ usage: ledger.rows() });
const body = JSON.stringify({ _format_version: "3.0", workspaces: [{ name: "acme" }] });
assert.equal((await admin.call("POST", "/config", { headers: JSON_TYPE, body })).status, 201);

test("a row tells workspace, plugin and version, and everything that was counted", async () => {
  const { status, json } = await admin.call("GET", "/default/plugin-usage");
  assert.equal(status, 200);
  assert.deepEqual(json, {
    data: [
      {
        id: "default/hello@1.0.0",
        workspace: "default",
        plugin: "hello",
        version: "1.0.0",
        calls: 5,
        failed: 3,
        failures: { trap: 1, fuel: 2 },
        fuel: 70,
        cpu_ms: 1.5,
        wall_ms: 12,
        memory_peak_bytes: 4096,
        host_calls: 2,
        bytes_in: 300,
        bytes_out: 200,
      },
    ],
    next: null,
  });
});

test("without a workspace every workspace is listed, in pages", async () => {
  const seen: unknown[] = [];
  let path: string | null | undefined = "/plugin-usage?size=50";
  for (let pages = 0; typeof path === "string"; pages++) {
    assert.ok(pages < 4);
    const { json } = await admin.call("GET", path);
    seen.push(...(json.data ?? []).map(({ workspace, calls }) => [workspace, calls]));
    path = json.next;
  }
  assert.equal(seen.length, 102);
  const acme = seen.filter((row) => (row as [string])[0] === "acme") as [string, number][];
  assert.equal(
    acme.reduce((sum, [, calls]) => sum + calls, 0),
    120,
  );
});

test("a workspace sees its own rows alone; one that is not there is 404, and usage is not written", async () => {
  const { json } = await admin.call("GET", "/acme/plugin-usage?size=1000");
  assert.ok(json.data?.every(({ workspace }) => workspace === "acme"));
  assert.equal(json.data?.length, 101);
  assert.equal((await admin.call("GET", "/nobody/plugin-usage")).status, 404);
  assert.equal((await admin.call("DELETE", "/acme/plugin-usage")).status, 405);
});
