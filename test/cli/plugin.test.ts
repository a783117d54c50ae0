/** `plugin pack` and `plugin publish` as an author runs them: processes, files, and a gateway's Admin API. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { stringify } from "yaml";
import { digestOf, openPackage } from "../../src/registry/package.ts";
import type { Forge } from "../../src/registry/registry.ts";
import { startAdmin } from "../admin/gateway.ts";
import { MANIFEST, packageOf, SOURCE, scratch } from "../registry/packages.ts";

const PROGRAM = fileURLToPath(new URL("./program.ts", import.meta.url));
const EXAMPLE = fileURLToPath(new URL("../../wasm-plugins/ts-hello", import.meta.url));

interface Ran {
  code: number;
  out: string;
  err: string;
}

function gatehouse(cwd: string, ...args: string[]): Promise<Ran> {
  const { promise, resolve } = Promise.withResolvers<Ran>();
  execFile(process.execPath, [PROGRAM, ...args], { cwd }, (error, out, err) =>
    resolve({ code: error ? Number(error.code) : 0, out, err }),
  );
  return promise;
}

/** A directory with a manifest and these files. */
function plugin(manifest: object | string, files: Record<string, string>): string {
  const dir = scratch();
  const text = typeof manifest === "string" ? manifest : stringify(manifest);
  for (const [name, content] of Object.entries({ "plugin.yaml": text, ...files }))
    writeFileSync(join(dir, name), content);
  return dir;
}

test("a built plugin is packed as it is, reproducibly, under its name and version", async () => {
  const dir = plugin(MANIFEST, { "plugin.js": SOURCE, "notes.txt": "not for the package" });
  const first = await gatehouse(dir, "plugin", "pack", ".");
  assert.equal(first.code, 0, first.err);
  const bytes = readFileSync(join(dir, "header-stamp-1.2.0.tgz"));
  assert.match(
    first.out,
    /^packed header-stamp@1\.2\.0 \(isolate\): header-stamp-1\.2\.0\.tgz, \d+ bytes\nsha256:/,
  );
  const { opened } = await openPackage(bytes);
  assert.equal(Buffer.from(opened?.artifact ?? []).toString(), SOURCE);
  const second = await gatehouse(dir, "plugin", "pack", ".", "-o", "again.tgz", "--json");
  assert.deepEqual(JSON.parse(second.out), {
    id: digestOf(bytes),
    name: "header-stamp",
    version: "1.2.0",
    runtime: "isolate",
    file: "again.tgz",
    bytes: bytes.length,
    built: false,
  });
});

test("plugin.ts is bundled with the SDK when the entry is missing, the same bytes wherever it lies", async () => {
  const digests: string[] = [];
  for (const name of ["here", "elsewhere"]) {
    const dir = join(scratch(), name);
    cpSync(EXAMPLE, dir, { recursive: true });
    const ran = await gatehouse(dir, "plugin", "pack", dir, "--json");
    assert.equal(ran.code, 0, ran.err);
    const packed = JSON.parse(ran.out);
    assert.equal(packed.built, true);
    digests.push(packed.id);
    const { opened } = await openPackage(readFileSync(join(dir, "ts-hello-1.0.0.tgz")));
    const code = Buffer.from(opened?.artifact ?? []).toString();
    assert.doesNotMatch(code, /\bimport\b[^(]*["']@gatehouse/);
    assert.doesNotMatch(code, /sdk\/src|ts-hello\/plugin/);
    const { default: made } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
    assert.equal(made.name, "ts-hello");
  }
  assert.equal(digests[0], digests[1]);
});

test("--build bundles plugin.ts although an older entry is there", async () => {
  const dir = plugin(MANIFEST, {
    "plugin.js": "export default 'old';",
    "plugin.ts": "export default 'new' as string;",
  });
  await gatehouse(dir, "plugin", "pack", ".", "--build");
  const { opened } = await openPackage(readFileSync(join(dir, "header-stamp-1.2.0.tgz")));
  assert.match(Buffer.from(opened?.artifact ?? []).toString(), /new/);
});

const UNPACKABLE: [title: string, make: () => string, message: RegExp][] = [
  ["a directory without a manifest", scratch, /plugin\.yaml is not there; a plugin begins with it/],
  [
    "a manifest with faults, all of them",
    () => plugin({ ...MANIFEST, name: "X", phases: [] }, { "plugin.js": SOURCE }),
    /plugin\.yaml:2:7: name: expected 1 to 64.*\nplugin\.yaml:6:9: phases: length must be at least 1/,
  ],
  ["neither entry nor source", () => plugin(MANIFEST, {}), /holds neither 'plugin\.js' nor plugin\.ts/],
  [
    "a WASM entry that was not built",
    () => plugin({ ...MANIFEST, runtime: "extism", entry: "p.wasm" }, { "plugin.ts": "" }),
    /does not hold 'p\.wasm'.*build it first/,
  ],
  [
    "a source with a syntax error",
    () => plugin(MANIFEST, { "plugin.ts": "export default {\n  a b\n};" }),
    /plugin\.ts:2:5: /,
  ],
  [
    "a source that imports what is not there",
    () => plugin(MANIFEST, { "plugin.ts": 'import "node:fs";' }),
    /plugin\.ts:1:8: Could not resolve "node:fs"/,
  ],
];

for (const [title, make, message] of UNPACKABLE) {
  test(`packing ${title} fails with what to do`, async () => {
    const { code, out, err } = await gatehouse(make(), "plugin", "pack", ".");
    assert.deepEqual([code, out], [1, ""]);
    assert.match(err, message);
    assert.doesNotMatch(err, /\bat .*:\d+:\d+\)/, "no stack trace");
  });
}

async function packed(): Promise<{ dir: string; bytes: Uint8Array }> {
  const dir = scratch();
  const bytes = await packageOf();
  writeFileSync(join(dir, "p.tgz"), bytes);
  return { dir, bytes };
}

test("publishing is told with the package's id, and once more when it was there already", async () => {
  const { port, registry } = await startAdmin();
  const { dir, bytes } = await packed();
  const publish = (...more: string[]) =>
    gatehouse(dir, "plugin", "publish", "p.tgz", "--admin", `http://127.0.0.1:${port}`, ...more);
  const first = await publish();
  assert.equal(first.code, 0, first.err);
  assert.match(first.out, /^published header-stamp@1\.2\.0, workspace default\nsha256:.*\nuse it: /);
  assert.equal(registry.list("default").length, 1);
  const again = await publish("--json");
  assert.deepEqual(
    [again.code, JSON.parse(again.out)],
    [
      0,
      { id: digestOf(bytes), name: "header-stamp", version: "1.2.0", workspace: "default", created: false },
    ],
  );
});

test("a workspace's plugin goes to that workspace", async () => {
  const { port, registry, call } = await startAdmin();
  await call("POST", "/config", {
    headers: { "content-type": "application/yaml" },
    body: '_format_version: "3.0"\nworkspaces: [{name: acme, hosts: [acme.example]}]\n',
  });
  const { dir } = await packed();
  const admin = `http://localhost:${port}/`;
  const { code, err } = await gatehouse(
    dir,
    "plugin",
    "publish",
    "p.tgz",
    "--admin",
    admin,
    "--workspace",
    "acme",
  );
  assert.equal(code, 0, err);
  assert.equal(registry.list("acme").length, 1);
  const nobody = await gatehouse(
    dir,
    "plugin",
    "publish",
    "p.tgz",
    "--admin",
    admin,
    "--workspace",
    "nobody",
  );
  assert.equal(nobody.code, 1);
  assert.match(nobody.err, /knows no workspace 'nobody'/);
});

const refusing: Forge = async () => ({ ok: false, reasons: ["no export 'access'"] });
const busy: Forge = async () => ({ ok: false, busy: true });

test("a refusal of the gateway exits with 1 and its reasons, a busy one with 3", async () => {
  const { dir } = await packed();
  const cases: [forge: Forge, code: number, message: RegExp][] = [
    [refusing, 1, /^p\.tgz: entry: no export 'access'$/m],
    [busy, 3, /The forge is busy/],
  ];
  for (const [forge, expected, message] of cases) {
    const { port } = await startAdmin({ forge });
    const admin = `http://127.0.0.1:${port}`;
    const { code, err } = await gatehouse(dir, "plugin", "publish", "p.tgz", "--admin", admin);
    assert.equal(code, expected);
    assert.match(err, message);
  }
});

test("a version that is taken by other bytes exits with 1 and asks for a new version", async () => {
  const { port, registry } = await startAdmin();
  await registry.put("default", await packageOf(MANIFEST, "export default 'other';"));
  const { dir } = await packed();
  const admin = `http://127.0.0.1:${port}`;
  const { code, err } = await gatehouse(dir, "plugin", "publish", "p.tgz", "--admin", admin);
  assert.equal(code, 1);
  assert.match(err, /header-stamp@1\.2\.0 is published with other bytes; give it a new version/);
});

test("mistakes before anything is sent exit with 1, a gateway that is not there with 3", async () => {
  const { dir } = await packed();
  mkdirSync(join(dir, "folder"));
  writeFileSync(join(dir, "broken.tgz"), "hello");
  const cases: [args: string[], code: number, message: RegExp][] = [
    [["folder"], 1, /folder is a directory; make a package of it first: gatehouse plugin pack folder/],
    [["nowhere.tgz"], 1, /nowhere\.tgz cannot be read \(ENOENT\)/],
    [["broken.tgz"], 1, /broken\.tgz: package: not a gzip file/],
    [["p.tgz", "--admin", "localhost"], 1, /'localhost' is not the URL of an Admin API/],
    // Port 1 is nobody's on loopback: nothing listens there.
    [
      ["p.tgz", "--admin", "http://127.0.0.1:1"],
      3,
      /http:\/\/127\.0\.0\.1:1 cannot be reached \(ECONNREFUSED\)/,
    ],
  ];
  for (const [args, expected, message] of cases) {
    const { code, err, out } = await gatehouse(dir, "plugin", "publish", ...args);
    assert.deepEqual([code, out], [expected, ""], args.join(" "));
    assert.match(err, message);
  }
  const json = await gatehouse(dir, "plugin", "publish", "nowhere.tgz", "--json");
  assert.deepEqual(
    [json.code, JSON.parse(json.out)],
    [1, { error: { reasons: ["nowhere.tgz cannot be read (ENOENT)"] } }],
  );
});
