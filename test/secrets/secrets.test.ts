/** Secrets as files: what is given out, to whom, and what is not. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { HostCallError } from "../../src/sandbox/calls/host-call-error.ts";
import { Secrets } from "../../src/secrets/secrets.ts";

let directory: string;
const put = (path: string, text: string | Uint8Array, mode = 0o600) =>
  writeFile(join(directory, path), text, { mode });

before(async () => {
  directory = await mkdtemp(join(tmpdir(), "gatehouse-secrets-"));
  for (const workspace of ["acme", "other", "acme/..data"]) await mkdir(join(directory, workspace));
  await put("acme/TOKEN", "s3cret\n");
  await put("acme/TWO_LINES", "a\n\n");
  await put("acme/EMPTY", "");
  await put("acme/UMLAUT", "s\u00fc\u00df");
  await put("acme/WIDE", "x".repeat(65_536));
  await put("acme/TOO_LONG", "x".repeat(65_537));
  await put("acme/BINARY", Buffer.from([255, 254]));
  await put("acme/OPEN", "everybody's", 0o604);
  await put("acme/..data/token", "versioned");
  await put("other/THEIRS", "not yours");
  await put("outside", "not yours");
  await chmod(join(directory, "acme/OPEN"), 0o604);
  await mkdir(join(directory, "acme/FOLDER"));
  await symlink("..data/token", join(directory, "acme/VERSIONED"));
  await symlink("../other/THEIRS", join(directory, "acme/LINK"));
  await symlink("../outside", join(directory, "acme/UP"));
  await symlink("/etc/passwd", join(directory, "acme/PASSWD"));
  await symlink("other", join(directory, "alias"));
  assert.equal(spawnSync("mkfifo", [join(directory, "acme/PIPE")]).status, 0);
});
after(() => rm(directory, { recursive: true, force: true }));

function open(told: string[] = []): Secrets {
  return new Secrets({ directory, onRefused: (...parts) => told.push(parts.join(" ")) });
}

for (const [workspace, name, value] of [
  ["acme", "TOKEN", "s3cret"],
  ["acme", "TWO_LINES", "a\n"],
  ["acme", "EMPTY", ""],
  ["acme", "UMLAUT", "s\u00fc\u00df"],
  ["acme", "WIDE", "x".repeat(65_536)],
  ["acme", "VERSIONED", "versioned"],
  ["acme", "NONE", null],
  ["acme", "THEIRS", null],
  ["nobody", "TOKEN", null],
  ["acme", "../other/THEIRS", null],
  ["acme", "..", null],
  ["acme", "TOKEN/", null],
  ["acme", "TOKEN\0", null],
  ["acme", "", null],
  ["..", "outside", null],
  [".", "outside", null],
  ["", "outside", null],
  ["acme/..", "outside", null],
  ["acme/../other", "THEIRS", null],
] as const)
  test(`${JSON.stringify(name)} of workspace ${JSON.stringify(workspace)}: ${value === null ? "none" : "there"}`, async () => {
    assert.equal(await open().read(workspace, name), value);
  });

for (const [workspace, name, reason] of [
  ["acme", "LINK", /leads out of its workspace/],
  ["acme", "UP", /leads out of its workspace/],
  ["acme", "PASSWD", /leads out of its workspace/],
  ["alias", "THEIRS", /leads out of its workspace/],
  ["acme", "OPEN", /other users of the machine have rights/],
  ["acme", "TOO_LONG", /more than 65536 bytes/],
  ["acme", "BINARY", /no UTF-8/],
  ["acme", "FOLDER", /no file/],
  ["acme", "PIPE", /no file/],
] as const)
  test(`${name} of ${workspace} is not given out, and the operator is told why, once`, async () => {
    const told: string[] = [];
    const secrets = open(told);
    for (let i = 0; i < 2; i++)
      await assert.rejects(
        secrets.read(workspace, name),
        (error) =>
          error instanceof HostCallError &&
          error.message === `the secret ${name} cannot be given out: the gateway's log says why`,
      );
    assert.equal(told.length, 1);
    assert.match(told[0] as string, reason);
    assert.ok(!told[0]?.includes("yours") && !told[0]?.includes("root:"));
  });

test("a secret that changes is given out anew, though its file was replaced whole", async () => {
  await put("acme/ROTATES", "old");
  const secrets = open();
  assert.equal(await secrets.read("acme", "ROTATES"), "old");
  await put("acme/next", "new");
  await rename(join(directory, "acme/next"), join(directory, "acme/ROTATES"));
  let seen: string | null;
  do seen = await secrets.read("acme", "ROTATES");
  while (seen === "old");
  assert.equal(seen, "new");
});

test("without a directory there are no secrets", async () => {
  assert.equal(await new Secrets({ directory: null, onRefused: assert.fail }).read("acme", "TOKEN"), null);
});
