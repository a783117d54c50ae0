/** The fence is tried when the gateway starts, on a machine that may be busy. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runProbe } from "../../../src/sandbox/fence/fence-probe.ts";

const HANGS = "while :; do :; done";

/** A shell that runs this in a directory of its own. */
async function probe(script: string, timeoutMs: number): Promise<string> {
  const cwd = await mkdtemp(join(tmpdir(), "gatehouse-probe-"));
  try {
    return await runProbe({ file: "/bin/sh", args: ["-c", script], cwd }, timeoutMs);
  } finally {
    await rm(cwd, { recursive: true });
  }
}

test("a probe that takes too long is tried once more", async () => {
  assert.equal(await probe(`[ -d tried ] && exec echo held; mkdir tried; ${HANGS}`, 3000), "held");
});

test("one that takes too long twice has failed, and so has one that says nothing", async () => {
  assert.match(await probe(HANGS, 50), /did not end within 0\.05 seconds, twice/);
  assert.equal(await probe("exit 0", 30_000), "nothing was printed, exit code 0");
});
