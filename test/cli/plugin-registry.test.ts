/** `gatehouse plugin` and the registry, as an author runs it: keys, signing, listing, channels, yanking. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { MemoryStore } from "../../src/stores/memory.ts";
import { startAdmin } from "../admin/gateway.ts";
import { MANIFEST, packageOf, scratch } from "../registry/packages.ts";

const PROGRAM = fileURLToPath(new URL("./program.ts", import.meta.url));

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** An author's folder, with a gateway to publish to. */
async function author() {
  const admin = await startAdmin({ store: new MemoryStore() });
  const dir = scratch();
  const run = (...args: string[]): Promise<Ran> => {
    const { promise, resolve } = Promise.withResolvers<Ran>();
    execFile(process.execPath, [PROGRAM, "plugin", ...args], { cwd: dir }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    );
    return promise;
  };
  return {
    ...admin,
    dir,
    run,
    ask: (...args: string[]) => run(...args, "--admin", `http://127.0.0.1:${admin.port}`),
    async file(version: string): Promise<string> {
      writeFileSync(join(dir, `${version}.tgz`), await packageOf({ ...MANIFEST, version }));
      return `${version}.tgz`;
    },
  };
}

test("an author makes a key, registers it, and publishes what it has signed", async () => {
  const { run, ask, dir, file } = await author();
  const made = await run("keygen", "ann.key");
  assert.deepEqual([made.code, made.err], [0, ""]);
  assert.equal(statSync(join(dir, "ann.key")).mode & 0o777, 0o600);
  assert.match((await run("keygen", "ann.key")).err, /ann\.key is there already; choose another name/);
  assert.match((await ask("keys", "add", "ann", "ann.key")).err, /is a private key; give the file that ends/);
  assert.equal((await ask("keys", "add", "ann", "ann.key.pub")).code, 0);
  const published = await ask("publish", await file("1.0.0"), "--sign", "ann.key");
  assert.match(
    published.out,
    /^published header-stamp@1\.0\.0, workspace default, signed by ann\n/,
    published.err,
  );
  assert.match((await ask("show", "header-stamp@1.0.0")).out, /^signed by ann$/m);
  const other = await ask("publish", await file("1.1.0"), "--sign", "ann.key", "--key-name", "ben");
  assert.deepEqual(
    [other.code, other.err],
    [1, "1.1.0.tgz: signature: workspace 'default' knows no key 'ben'\n"],
  );
  assert.match((await ask("keys", "remove", "ann")).err, /has signed header-stamp@1\.0\.0; revoke it/);
  assert.equal((await ask("keys", "revoke", "ann")).code, 0);
  assert.match((await ask("keys", "list")).out, /^ann {2}\S{44} {2}revoked$/m);
  writeFileSync(join(dir, "no.key"), "hello");
  assert.match((await ask("publish", "1.1.0.tgz", "--sign", "no.key")).err, /no Ed25519 private key in PEM/);
});

test("packages are listed, searched, shown, yanked and moved between channels", async () => {
  const { ask, file } = await author();
  for (const version of ["1.0.0", "1.1.0"]) assert.equal((await ask("publish", await file(version))).code, 0);
  assert.match(
    (await ask("list")).out,
    /^header-stamp@1\.0\.0 {2}isolate {2}sha256:\w+\nheader-stamp@1\.1\.0/,
  );
  assert.equal((await ask("search", "nothing")).out, "no packages\n");
  assert.match(
    (await ask("channel", "header-stamp", "stable", "1.0.0", "--why", "first")).out,
    /points to 1\.0\.0/,
  );
  const moves = JSON.parse((await ask("channel", "header-stamp", "stable", "--json")).out);
  assert.equal(moves.history[0].why, "first");
  assert.match((await ask("channel", "header-stamp")).out, /^stable {2}1\.0\.0 {2}\S+Z first$/m);
  assert.match((await ask("list", "--channel", "stable")).out, /^header-stamp@1\.0\.0/);
  assert.match((await ask("yank", "header-stamp@1.1.0")).err, /--reason: say why/);
  assert.equal((await ask("yank", "header-stamp@1.1.0", "--reason", "evil\u001b[31m")).code, 0);
  const shown = await ask("show", "header-stamp");
  assert.match(shown.out, /^ {2}1\.1\.0 +yanked: evil\ufffd\[31m/m);
  assert.match(shown.out, /^ {2}1\.0\.0 +stable, latest/m);
  assert.equal((await ask("yank", "header-stamp@1.1.0", "--undo")).code, 0);
  assert.equal((await ask("channel", "header-stamp", "stable", "--remove")).code, 0);
  assert.equal((await ask("channel", "header-stamp")).out, "no channels beside 'latest'\n");
  assert.equal((await ask("consent", "header-stamp", "1.1.0")).code, 0);
});

for (const [args, code, message] of [
  [["show", "nothing"], 1, /there is none in workspace 'default' \(404\)/],
  [["channel", "header-stamp", "latest", "1.0.0"], 1, /'latest' is the highest release by itself/],
  [["list", "--admin", "http://127.0.0.1:1"], 3, /cannot be reached/],
] as const)
  test(`'plugin ${args.slice(0, 3).join(" ")}' exits with ${code} and says why`, async () => {
    const { run, port } = await author();
    const at = args.includes("--admin" as never) ? [] : ["--admin", `http://127.0.0.1:${port}`];
    const ran = await run(...args, ...at);
    assert.equal(ran.code, code);
    assert.match(ran.err, message);
  });
