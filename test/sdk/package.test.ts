/** The SDK as authors get it: packed for npm, installed in an empty folder, and written against. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { buildSdk } from "../../sdk/build.ts";

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, "../..");
const TSC = join(ROOT, "node_modules/typescript/bin/tsc");

const PLUGIN = `
import { definePlugin, integer, record, reply, string } from "@gatehouse/sdk";

export default definePlugin({
  name: "hello",
  version: "1.0.0",
  priority: 1,
  schema: record({ name: string({ default: "world" }), status: integer() }),
  create(config, host) {
    const name: string = config.name;
    const status: number | null = config.status;
    return {
      access(ctx) {
        host.log("info", ctx.request.path);
        return reply(status ?? 200, { hello: name });
      },
    };
  },
});
`;

const WRONG = PLUGIN.replace("const name: string", "const name: number");

describe("the npm package of the SDK", () => {
  let folder: string;
  let installed: string;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "gatehouse-sdk-"));
    await buildSdk(join(folder, "build"));
    const { stdout } = await run("npm", ["pack", "--json", join(folder, "build")], { cwd: folder });
    const [{ filename }] = JSON.parse(stdout);
    await writeFile(join(folder, "package.json"), '{"private":true,"type":"module"}');
    await run("npm", ["install", "--offline", "--no-audit", "--no-fund", join(folder, filename)], {
      cwd: folder,
    });
    installed = join(folder, "node_modules/@gatehouse/sdk");
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("holds compiled code with its types, and nothing that Node would have to strip", async () => {
    const files = await readdir(installed, { recursive: true });
    assert.ok(files.includes("dist/index.js") && files.includes("dist/web/index.d.ts"), String(files));
    const sources = files.filter((file) => file.endsWith(".ts") && !file.endsWith(".d.ts"));
    assert.deepEqual(
      sources.filter((file) => !file.startsWith("assemblyscript/")),
      [],
    );
    const { exports, dependencies } = JSON.parse(await readFile(join(installed, "package.json"), "utf8"));
    assert.deepEqual(exports["."], { types: "./dist/index.d.ts", default: "./dist/index.js" });
    assert.equal(dependencies, undefined);
  });

  it("gives a plugin its types, and finds a mistake", async () => {
    await writeFile(join(folder, "plugin.ts"), PLUGIN);
    await writeFile(join(folder, "wrong.ts"), WRONG);
    const options = ["--noEmit", "--strict", "--target", "esnext", "--module", "nodenext", "--ignoreConfig"];
    const check = (file: string) => run(process.execPath, [TSC, ...options, file], { cwd: folder });
    await check("plugin.ts");
    await assert.rejects(check("wrong.ts"), ({ stdout }: { stdout: string }) =>
      /wrong\.ts\(\d+,\d+\): error TS2322/.test(stdout),
    );
  });

  it("runs, and knows the JSON Schema of manifests", async () => {
    const script = `
      import { schemaToJson } from "@gatehouse/sdk";
      import schema from "@gatehouse/sdk/plugin.schema.json" with { type: "json" };
      import plugin from "./plugin.ts";
      const { body } = plugin.create({ name: "Ada", status: null }, { log() {} }).access({ request: { path: "/" } });
      console.log(body, Object.keys(schemaToJson(plugin.schema)).join(), schema.properties.manifest.enum);
    `;
    await writeFile(join(folder, "plugin.ts"), PLUGIN);
    await writeFile(join(folder, "run.js"), script);
    const { stdout } = await run(process.execPath, ["run.js"], { cwd: folder });
    assert.equal(stdout.trim(), '{"hello":"Ada"} type,fields [ 1 ]');
  });

  it("holds the layer for AssemblyScript, which its compiler finds by the package's name", async () => {
    const assembly = join(folder, "assembly");
    await mkdir(assembly, { recursive: true });
    await writeFile(
      join(assembly, "index.ts"),
      `import { Answer, Call } from "@gatehouse/sdk/assemblyscript";
       export function access(): i32 {
         const answer = new Answer();
         answer.request.set("X-Path", new Call().path);
         return answer.send();
       }`,
    );
    const asc = join(ROOT, "node_modules/assemblyscript/bin/asc.js");
    const args = [asc, "assembly/index.ts", "--outFile", "plugin.wasm", "--use", "abort="];
    await run(process.execPath, args, { cwd: folder });
    const module = new WebAssembly.Module(await readFile(join(folder, "plugin.wasm")));
    assert.ok(WebAssembly.Module.exports(module).some(({ name }) => name === "access"));
    const modules = WebAssembly.Module.imports(module).map(({ module: from }) => from);
    assert.deepEqual(new Set(modules), new Set(["extism:host/env"]));
  });
});
