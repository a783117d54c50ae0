import assert from "node:assert/strict";
import { once } from "node:events";
import { getPriority } from "node:os";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { comesBack } from "../../src/sandbox/supervisor/scheduling.ts";

test("a data thread stands before the gateway's others where it may", async () => {
  const script = `
    const { getPriority } = require("node:os");
    const { workerData } = require("node:worker_threads");
    import(workerData).then(({ standFirst }) => {
      standFirst();
      require("node:worker_threads").parentPort.postMessage(getPriority(0));
    });`;
  const workerData = new URL("../../src/data-thread/stand-first.ts", import.meta.url).href;
  const [priority] = await once(new Worker(script, { eval: true, workerData }), "message");
  assert.equal(priority, comesBack ? -5 : getPriority(0));
  assert.equal(getPriority(0), getPriority(process.pid), "and the thread alone");
});
