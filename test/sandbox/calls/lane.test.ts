/** What a data thread keeps of lanes and of plugins that are held back: no more than there is use for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Call } from "../../../src/sandbox/calls/guest.ts";
import { HeldBackPlugins } from "../../../src/sandbox/calls/held-back.ts";
import { LaneTable } from "../../../src/sandbox/calls/lane.ts";
import type { CordonLink } from "../../../src/sandbox/calls/link.ts";
import type { LaneName } from "../../../src/sandbox/protocol/messages.ts";

const nameOf = (workspace: string): LaneName => ({ engine: "isolate", workspace, plugin: null });

test("lanes of workspaces that have come and gone leave nothing; one in use stays the same", () => {
  const lanes = new LaneTable();
  lanes.setBudget("asks", 7);
  const asking = lanes.named(nameOf("asks"));
  asking.asked = true;
  const waiting = lanes.named(nameOf("waits"));
  waiting.queue.push({} as Call);
  const served = lanes.named(nameOf("is served"));
  served.links.push({} as CordonLink);
  const former = lanes.named(nameOf("former"));
  for (let i = 0; i < 1000; i++) lanes.named(nameOf(`w${i}`));
  lanes.tidy();
  assert.deepEqual([...lanes], [asking, waiting, served]);
  assert.equal(former.gone, true);
  assert.equal(served.gone, false);
  assert.notEqual(lanes.named(nameOf("former")), former);
  asking.asked = false;
  lanes.tidy();
  assert.equal(lanes.named(nameOf("asks")).budget, 7);
});

test("suspensions that are over are forgotten, whether or not anybody calls the plugin again", () => {
  const heldBack = new HeldBackPlugins();
  for (let i = 0; i < 1000; i++) heldBack.suspend({ workspace: "w", plugin: `p${i}` }, 1000 + i, 0);
  assert.equal(heldBack.suspended, 1000);
  const blame = { workspace: "w", plugin: "p999" };
  assert.equal(heldBack.isSuspended(blame, 1998), true);
  heldBack.suspend({ workspace: "w", plugin: "another" }, 3000, 1998);
  assert.equal(heldBack.suspended, 2);
  assert.equal(heldBack.isSuspended(blame, 1999), false);
  assert.equal(heldBack.suspended, 1);
});
