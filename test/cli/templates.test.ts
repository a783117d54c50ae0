/** What `plugin new` makes in languages that are compiled: it builds where its compiler is, and does the same in each. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { openPlugin } from "@gatehouse/sdk/testing";
import { buildPlugin } from "../../src/cli/build-plugin.ts";
import { PackError } from "../../src/cli/pack.ts";
import { absentCompiler, type Language } from "../../wasm-plugins/compilers.ts";
import { run } from "./run.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
/** What the examples' compilers keep: Rust's dependencies take a minute. */
const cache = join(ROOT, "wasm-plugins/build/.cache");

const LANGUAGES: readonly (readonly [lang: string, language: Language, sources: string[]])[] = [
  ["as", "AssemblyScript", ["assembly"]],
  ["go", "Go", ["go.mod", "go.sum", "main.go"]],
  ["rust", "Rust", ["Cargo.toml", "src"]],
];

let home: string;

before(async () => {
  home = await mkdtemp(join(tmpdir(), "gatehouse-templates-"));
  process.env.GATEHOUSE_TEST_DOOR = new URL("../../src/testing/door.ts", import.meta.url).href;
});

after(() => rm(home, { recursive: true, force: true }));

describe("a plugin from a template", () => {
  for (const [lang, language, sources] of LANGUAGES)
    test(`in ${language} holds its sources, and greets and closes paths`, async () => {
      const dir = join(home, `my-${lang}`);
      const made = await run(["plugin", "new", `my-${lang}`, "--lang", lang, "--dir", dir, "--json"]);
      assert.equal(made.code, 0, made.err);
      const absent = await absentCompiler(language);
      assert.equal(JSON.parse(made.out).missing, absent);
      const files = await readdir(dir);
      for (const file of [...sources, "plugin.yaml", "plugin.test.ts", "README.md", ".gitignore"])
        assert.ok(files.includes(file), file);
      if (absent !== null) {
        await assert.rejects(buildPlugin(dir, { cache }), (error) => {
          assert.ok(error instanceof PackError && error.message.includes(absent), `${error}`);
          return true;
        });
        return;
      }
      const { manifest } = await buildPlugin(dir, { cache });
      assert.equal(manifest.name, `my-${lang}`);
      using plugin = await openPlugin(dir, { config: { greeting: "Ahoy", closed: ["/internal"] } });
      const greeted = await plugin.test({ url: "/orders" }, { response: { body: "fine" } });
      assert.equal(greeted.request?.headers.get("x-greeting"), "Ahoy");
      assert.equal(greeted.response.headers.get("x-greeting"), "Ahoy");
      for (const { fuel, memoryBytes } of greeted.calls)
        assert.ok(fuel !== null && fuel > 0 && memoryBytes !== null);
      const closed = await plugin.test({ url: "/internal/keys" });
      assert.deepEqual([closed.request, closed.response.status], [null, 403]);
      assert.deepEqual(closed.response.json(), { message: "This path is closed" });
      assert.deepEqual(closed.logs, [{ level: "info", message: "closed: /internal/keys" }]);
    });
});
