/** Work that gives way to traffic: at a lower priority while it lasts, and at the same one again however it ends. */
import assert from "node:assert/strict";
import { readlinkSync } from "node:fs";
import { getPriority, setPriority } from "node:os";
import { test } from "node:test";
import { politely } from "../../src/gateway/polite.ts";

const task = Number(/\d+$/.exec(readlinkSync("/proc/thread-self"))?.[0]);
const ordinary = getPriority(task);

/** Whether this process may have a priority back that it gave up. */
function mayRaise(): boolean {
  try {
    setPriority(task, ordinary - 1);
    setPriority(task, ordinary);
    return true;
  } catch {
    return false;
  }
}

test("work is done at a lower priority where the old one can be had back, and at the ordinary one elsewhere", () => {
  const during = politely(() => getPriority(task));
  if (mayRaise()) assert.ok(during > ordinary);
  else assert.equal(during, ordinary);
  assert.equal(getPriority(task), ordinary);
});

test("work that fails leaves the priority as it was", () => {
  assert.throws(
    () =>
      politely(() => {
        throw new Error("in the middle");
      }),
    /in the middle/,
  );
  assert.equal(getPriority(task), ordinary);
});
