/** The forge as the gateway uses it: a child process with a clock, a memory limit and a short queue. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { getPriority } from "node:os";
import { after, before, describe, it, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { uidOf } from "../../../src/sandbox/fence/fence.ts";
import { FORGE_SLOT } from "../../../src/sandbox/fence/guest-users.ts";
import { createForge, type Forge } from "../../../src/sandbox/forge/forge-client.ts";
import { place } from "../sandbox.ts";
import { assemble } from "../wasm/guests.ts";

const OK = assemble('(module (memory 1) (func (export "access") (result i32) (i32.const 0)))');
const text = (source: string): Uint8Array => new TextEncoder().encode(source);

for (const where of ["behind the fence", "without a fence"])
  describe(`the forge ${where}`, () => {
    let forge: Forge;
    before(async () => {
      forge = createForge({ place: where === "behind the fence" ? await place() : null });
    });
    after(() => forge.close());

    it("admits a good module and gives its bytes, digest and report", async () => {
      const result = await forge.forge(OK, "extism", ["access"]);
      assert.ok(result.ok);
      assert.match(result.digest, /^sha256:/);
      assert.ok(WebAssembly.validate(result.emitted));
      assert.equal(result.report.bytesIn, OK.length);
    });

    it("works on uploads that come together one after the other", async () => {
      const results = await Promise.all([1, 2, 3].map(() => forge.forge(OK, "extism", ["access"])));
      assert.ok(results.every(({ ok }) => ok));
    });

    it("refuses what is too large without looking into it", async () => {
      const result = await forge.forge(new Uint8Array(9 * 1024 * 1024), "extism", ["access"]);
      assert.deepEqual(result, {
        ok: false,
        reasons: ["the artifact has 9437184 bytes; at most 8388608 are allowed"],
      });
    });

    const bundles: [what: string, source: Uint8Array, reason: RegExp | null][] = [
      ["a module with a default export", text("export default { name: 'x' };"), null],
      ["a module that would throw if it ran", text("export default 1; throw new Error('ran');"), null],
      ["a module that would never end if it ran", text("export default 1; while (true);"), null],
      ["a syntax error", text("export default {;"), /is no ES module: Unexpected token/],
      [
        "an import",
        text("import fs from 'node:fs'; export default fs;"),
        /imports "node:fs": bundle everything/,
      ],
      ["a re-export", text("export { default } from './x.js';"), /imports ".\/x.js"/],
      ["no default export", text("export const plugin = 1;"), /has no default export/],
      ["an export of nothing", text("export { nothing as default };"), /is no ES module/],
      ["CommonJS", text("module.exports = 1;"), /has no default export/],
      ["bytes that are not UTF-8", Uint8Array.of(0x2f, 0x2f, 0xff, 0xfe), /not UTF-8/],
      ["more than a mebibyte", new Uint8Array(1024 * 1024 + 1).fill(32), /at most 1048576/],
    ];
    for (const [what, source, reason] of bundles) {
      it(`${reason ? "refuses" : "admits"} ${what} as an isolate's bundle`, async () => {
        const result = await forge.forge(source, "isolate", ["access"]);
        if (reason === null) {
          assert.ok(result.ok, JSON.stringify(result));
          assert.deepEqual(result.emitted, source);
          assert.deepEqual(result.report.exports, ["default"]);
        } else {
          assert.ok(!result.ok);
          assert.match(result.reasons.join(), reason);
        }
      });
    }

    it("gets a verdict on source nested deeper than a parser's stack", async () => {
      const result = await forge.forge(text(`export default ${"[".repeat(400_000)}`), "isolate", ["access"]);
      assert.ok(!result.ok);
      assert.ok((await forge.forge(OK, "extism", ["access"])).ok);
    });
  });

test("what parses uploads has a uid of its own, no room but the cordons', is sealed, and stands behind the gateway", async () => {
  const { room, fence } = await place();
  if (fence.by !== "root") return;
  const forge = createForge({ place: { room, fence } });
  try {
    assert.ok((await forge.forge(OK, "extism", ["access"])).ok);
    const lives = (pid: string) => {
      try {
        return readlinkSync(`/proc/${pid}/root`) === room.root;
      } catch {
        return false; // not a process, or gone
      }
    };
    const found = readdirSync("/proc").filter(lives);
    assert.equal(found.length, 1);
    const status = readFileSync(`/proc/${found[0]}/status`, "utf8");
    assert.equal(Number(/^Uid:\s+(\d+)/m.exec(status)?.[1]), uidOf(fence, FORGE_SLOT));
    assert.match(status, /^Seccomp_filters:\s+2$/m);
    assert.ok(getPriority(Number(found[0])) > getPriority(), "it stands behind the gateway");
  } finally {
    await forge.close();
  }
});

describe("a forge with narrow limits", () => {
  it("kills a child that passes its deadline, and works again with the next upload", async () => {
    const forge = createForge({ deadlineMs: 1, place: await place() });
    const result = await forge.forge(OK, "extism", ["access"]);
    await forge.close();
    assert.deepEqual(result, { ok: false, reasons: ["checking the artifact took more than 1 ms"] });
  });

  it("kills a child that passes its memory limit", async () => {
    const forge = createForge({ rssBytes: 20 * 1024 * 1024, place: await place() });
    const result = await forge.forge(OK, "extism", ["access"]);
    await forge.close();
    assert.ok(!result.ok);
    assert.match(result.reasons.join(), /needed more than 20 MB of memory|ended by itself/);
  });

  it("says busy when its queue is full, and still answers those that wait", async () => {
    const forge = createForge({ queueLength: 1, place: await place() });
    const first = forge.forge(OK, "extism", ["access"]);
    const second = forge.forge(OK, "extism", ["access"]);
    const third = await forge.forge(OK, "extism", ["access"]);
    assert.ok("busy" in third && third.busy);
    assert.ok((await first).ok);
    assert.ok((await second).ok);
    await forge.close();
  });

  it("has a place for another workspace although one fills the queue, and serves it first", async () => {
    const forge = createForge({ queueLength: 2, place: await place() });
    const order: string[] = [];
    const upload = async (owner: string) => {
      const result = await forge.forge(OK, "extism", ["access"], {}, owner);
      order.push("busy" in result ? `${owner} busy` : owner);
    };
    await Promise.all(["greedy", "greedy", "greedy", "greedy", "other", "other"].map(upload));
    assert.deepEqual(order, ["greedy busy", "other busy", "greedy", "other", "greedy", "greedy"]);
    await forge.close();
  });

  it("uses no process for a workspace that has seen another's artifact", async () => {
    const forge = createForge({ place: null });
    const children = () =>
      readFileSync(`/proc/self/task/${process.pid}/children`, "utf8").trim().split(" ").join();
    const seen: string[] = [];
    for (const owner of ["one", "one", "other", "one"]) {
      assert.ok((await forge.forge(OK, "extism", ["access"], {}, owner)).ok);
      seen.push(children());
    }
    assert.equal(seen[1], seen[0]);
    assert.equal(new Set(seen).size, 3);
    await forge.close();
  });

  it("lists of a bundle's exports the first hundred, and of each name the beginning", async () => {
    const forge = createForge({ place: await place() });
    const source = `const x = 1; export { x as default, x as "${"n".repeat(500_000)}" };`;
    const result = await forge.forge(text(source), "isolate", ["access"]);
    await forge.close();
    assert.ok(result.ok);
    assert.deepEqual(result.report.exports, ["default", "n".repeat(100)]);
  });

  it("keeps its child for uploads that follow, and lets it go when none does", async () => {
    const earlier = children();
    const forge = createForge({ idleMs: 100 });
    await forge.forge(OK, "extism", ["access"]);
    const warm = children();
    assert.notEqual(warm, earlier);
    await forge.forge(OK, "extism", ["access"]);
    assert.equal(children(), warm);
    while (children() !== earlier) await setTimeout(10);
    assert.ok((await forge.forge(OK, "extism", ["access"])).ok);
    await forge.close();
    assert.equal(children(), earlier);
  });

  it("is busy for ever once it is closed", async () => {
    const forge = createForge();
    await forge.close();
    const result = await forge.forge(OK, "extism", ["access"]);
    assert.ok("busy" in result);
  });
});

/** Processes that this one has started and that are still there. */
function children(): string {
  return readFileSync(`/proc/${process.pid}/task/${process.pid}/children`, "utf8");
}
