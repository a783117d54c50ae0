/** What `plugin new` makes in languages that are compiled: it builds as it is, and does what its README says. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { buildPlugin } from "../../src/cli/build-plugin.ts";
import { openPackage } from "../../src/registry/package.ts";
import { createWasmEngine } from "../../src/sandbox/wasm/wasm-engine.ts";
import { configure, hookCall, startNow } from "../sandbox/wasm/guests.ts";
import { run } from "./run.ts";

/** Rust compiles its dependencies once for all guests of the repository. */
const CACHE = join(import.meta.dirname, "../../wasm-plugins/build/.cache");

let home: string;
before(async () => {
  home = await mkdtemp(join(tmpdir(), "gatehouse-template-"));
});
after(() => rm(home, { recursive: true, force: true }));

for (const lang of ["as", "go", "rust"])
  describe(`plugin new --lang ${lang}`, () => {
    test("makes a plugin that builds, greets, and closes paths", async () => {
      const dir = join(home, lang);
      const made = await run(["plugin", "new", "greeter", "--lang", lang, "--dir", dir, "--json"]);
      assert.equal(made.code, 0, made.err);
      assert.equal(JSON.parse(made.out).missing, null, "every compiler is needed here");
      const { bytes } = await buildPlugin(dir, { cache: CACHE });
      const { opened } = await openPackage(bytes);
      assert.equal(opened?.manifest.name, "greeter");
      const engine = createWasmEngine();
      const config = { greeting: "Ahoy", closed: ["/internal"] };
      await configure(engine, 1, opened?.artifact as Uint8Array, {
        phases: ["access", "header_filter"],
        config,
      });
      assert.deepEqual(verdict(engine, hookCall("access")), {
        request: { headers: [["set", "X-Greeting", "Ahoy"]] },
      });
      assert.deepEqual(verdict(engine, hookCall("header_filter")), {
        response: { headers: [["set", "X-Greeting", "Ahoy"]] },
      });
      const call = hookCall("access");
      const { reply } = verdict(engine, { ...call, request: { ...call.request, path: "/internal/x" } });
      assert.equal(reply?.status, 403);
      assert.deepEqual(JSON.parse(Buffer.from(reply?.body ?? "").toString()), {
        message: "This path is closed",
      });
    });
  });

function verdict(engine: ReturnType<typeof createWasmEngine>, call: ReturnType<typeof hookCall>) {
  const turn = startNow(engine, 1, call);
  if (turn.kind !== "verdict") throw new Error(JSON.stringify(turn));
  return turn.verdict;
}
