/** Where a cordon stands on a contended core: behind the gateway, and far behind while it burns. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { getPriority } from "node:os";
import { after, test } from "node:test";
import { behind, Priorities } from "../../src/sandbox/priority.ts";
import { ProcessStat } from "../../src/sandbox/process-stat.ts";

/** Burns while its stdin says so: "1" to begin, "0" to end. Answers each with a line. */
const BURNER = `
let burning = false;
process.stdin.on("data", (order) => { burning = String(order).trim() === "1"; console.log("heard"); });
setInterval(() => { const until = Date.now() + 50; while (burning && Date.now() < until); }, 50);
console.log("up");`;

const [file, ...args] = behind({ file: process.execPath, args: ["-e", BURNER], cwd: "/" });
const child = spawn(file as string, args, { stdio: ["pipe", "pipe", "inherit"] });
after(() => child.kill("SIGKILL"));
const pid = child.pid as number;
const stat = new ProcessStat(pid);
const runner = { pid, lane: {} as object | null, wantedMs: () => stat.wantedMs() ?? 0 };
const priorities = new Priorities<typeof runner>();

/** How many calls it was sent. */
let calls = 0;

/** Looks as the supervisor does until the process stands elsewhere than at `from`. */
async function moved(from: number): Promise<number> {
  for (;;) {
    priorities.look(runner, calls, Date.now());
    const at = getPriority(pid);
    if (at !== from) return at;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test("a cordon starts behind the gateway, goes far back while it burns, and comes closer when it rests", async () => {
  await once(child.stdout, "data");
  const ordinary = getPriority(pid);
  assert.ok(ordinary > getPriority(process.pid));
  const spare = { ...runner, lane: null };
  const since = Date.now();
  for (const after of [0, 5000]) priorities.look(spare, 0, since + after);
  assert.equal(getPriority(pid), ordinary, "what serves nobody has shown nothing");
  // Who may not raise a priority leaves it where it is.
  if (process.getuid?.() !== 0) return;
  child.stdin.write("1\n");
  await once(child.stdout, "data");
  assert.equal(await moved(ordinary), 19);
  const busy = setInterval(() => {
    calls += 50;
  }, 5);
  assert.equal(await moved(19), ordinary, "who is busy with many calls does not burn");
  clearInterval(busy);
  assert.equal(await moved(ordinary), 19);
  child.stdin.write("0\n");
  await once(child.stdout, "data");
  assert.equal(await moved(19), ordinary);
});
