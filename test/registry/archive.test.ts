/** Package archives: hostile ones are refused by name, sound ones are the same bytes every time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { stringify } from "yaml";
import { MAX_PACKAGE_BYTES, MAX_UNPACKED_BYTES, pack, unpack } from "../../src/registry/archive.ts";
import { digestOf, openPackage } from "../../src/registry/package.ts";
import { MANIFEST, packageOf, paxRecord, SOURCE, tarEntry, tgz, tgzOf } from "./packages.ts";

const manifest = { name: "plugin.yaml", body: stringify(MANIFEST) };
const entry = { name: "plugin.js", body: SOURCE };

async function reasons(bytes: Uint8Array): Promise<string> {
  const { violations } = await openPackage(bytes);
  assert.ok(violations, "expected violations");
  return violations.map(({ path, message }) => `${path.join(".")}: ${message}`).join("\n");
}

test("a packed package opens as what was packed", async () => {
  const { opened } = await openPackage(await packageOf());
  assert.equal(opened?.manifest.name, "header-stamp");
  assert.equal(Buffer.from(opened?.artifact ?? []).toString(), SOURCE);
});

test("packing the same files twice gives the same digest, in whatever order they come", async () => {
  const files: [string, Uint8Array][] = [
    ["plugin.yaml", Buffer.from("a")],
    ["plugin.js", Buffer.from("b")],
  ];
  const first = digestOf(await pack(new Map(files)));
  assert.equal(digestOf(await pack(new Map(files.reverse()))), first);
  assert.match(first, /^sha256:[0-9a-f]{64}$/);
});

test("an archive made by tar with ./ names and its root directory is accepted", async () => {
  const bytes = await tgz([
    { name: "./", type: "directory" },
    { ...manifest, name: "./plugin.yaml" },
    { ...entry, name: "./plugin.js" },
  ]);
  assert.ok((await openPackage(bytes)).opened);
});

/** The two files that belong into a package. */
const sound = [tarEntry("plugin.yaml", "0", manifest.body), tarEntry("plugin.js", "0", SOURCE)];

test("an archive with times, owners and long names in headers of their own is accepted", async () => {
  const said = paxRecord("mtime", "1700000000.5") + paxRecord("SCHILY.xattr.user.a", "b=c");
  const [yaml, code] = sound as [Buffer, Buffer];
  const { opened } = await openPackage(
    tgzOf(
      tarEntry("pax_global_header", "g", paxRecord("comment", "0123456789abcdef")),
      tarEntry("PaxHeaders/plugin.yaml", "x", said),
      yaml,
      tarEntry("PaxHeaders/cut", "x", paxRecord("path", "./plugin.js")),
      tarEntry("cut", "0", SOURCE),
    ),
  );
  assert.equal(Buffer.from(opened?.artifact ?? []).toString(), SOURCE);
  const gnu = tgzOf(yaml, tarEntry("././@LongLink", "L", "plugin.js\0"), tarEntry("cut", "0", SOURCE));
  assert.equal(Buffer.from((await openPackage(gnu)).opened?.artifact ?? []).toString(), SOURCE);
  assert.ok((await openPackage(gzipSync(Buffer.concat([yaml, code])))).opened, "without blocks at its end");
});

const HOSTILE: [title: string, make: () => Promise<Uint8Array> | Uint8Array, reason: RegExp][] = [
  [
    "a name that climbs out",
    () => tgz([manifest, entry, { name: "../evil", body: "x" }]),
    /"\.\.\/evil" is not a plain file name/,
  ],
  [
    "an absolute name",
    () => tgz([manifest, entry, { name: "/etc/passwd", body: "x" }]),
    /not a plain file name/,
  ],
  [
    "a name with a backslash",
    () => tgz([manifest, entry, { name: "..\\evil", body: "x" }]),
    /not a plain file name/,
  ],
  ["a hidden file", () => tgz([manifest, entry, { name: ".npmrc", body: "x" }]), /not a plain file name/],
  ["a name twice", () => tgz([manifest, entry, entry]), /"plugin\.js" is there twice/],
  [
    "a name twice in two spellings",
    () => tgz([manifest, entry, { ...entry, name: "./plugin.js" }]),
    /is there twice/,
  ],
  [
    "a symbolic link",
    () => tgz([manifest, { name: "plugin.js", type: "symlink", linkname: "/etc/passwd" }]),
    /is a symlink; only regular files/,
  ],
  [
    "a hard link",
    () => tgz([manifest, { name: "plugin.js", type: "link", linkname: "plugin.yaml" }]),
    /is a link; only regular files/,
  ],
  [
    "a device",
    () => tgz([manifest, { name: "plugin.js", type: "character-device" }]),
    /is a character-device/,
  ],
  ["a directory", () => tgz([manifest, entry, { name: "src", type: "directory" }]), /is a directory/],
  [
    "a stray file",
    () => tgz([manifest, entry, { name: "notes.txt", body: "x" }]),
    /package: 'notes\.txt' does not belong/,
  ],
  ["no manifest", () => tgz([entry]), /plugin\.yaml: not in the package/],
  ["no entry", () => tgz([manifest]), /entry: 'plugin\.js' is not in the package/],
  ["an empty entry", () => tgz([manifest, { name: "plugin.js", body: "" }]), /entry: 'plugin\.js' is empty/],
  [
    "too many entries",
    () => tgz(Array.from({ length: 40 }, (_, i) => ({ name: `f${i}`, body: "x" }))),
    /more than 16 entries/,
  ],
  [
    "a huge manifest",
    () => tgz([{ name: "plugin.yaml", body: "#".repeat(70_000) }, entry]),
    /larger than 16384 bytes/,
  ],
  [
    "sixteen megabytes of records about one entry",
    () => tgzOf(tarEntry("x", "x", "4 =\n".repeat(4_000_000)), ...sound),
    /an extended header of more than 16384 bytes/,
  ],
  [
    "header after header that only says more about the next one",
    () => tgzOf(...Array.from({ length: 20 }, () => tarEntry("x", "x", paxRecord("mtime", "1"))), ...sound),
    /more than 16 extended headers/,
  ],
  [
    "a record whose length is negative",
    () => tgzOf(tarEntry("x", "x", `-20 path=${"x".repeat(40)}\n`), ...sound),
    /not a sound tar file: an extended header cannot be read/,
  ],
  [
    "a record that ends behind its header",
    () => tgzOf(tarEntry("x", "x", "999 path=plugin.js\n"), ...sound),
    /not a sound tar file: an extended header cannot be read/,
  ],
  [
    "a size that stands in a header of its own",
    () => tgzOf(tarEntry("x", "x", paxRecord("size", "3")), ...sound),
    /an extended header sets "size"/,
  ],
  [
    "one name for all entries",
    () => tgzOf(tarEntry("g", "g", paxRecord("path", "plugin.yaml")), ...sound),
    /an extended header sets "path"/,
  ],
  [
    "a name in a header of its own that climbs out",
    () => tgzOf(tarEntry("x", "x", paxRecord("path", "../../etc/cron.d/x")), ...sound),
    /"\.\.\/\.\.\/etc\/cron\.d\/x" is not a plain file name/,
  ],
  [
    "a long name of GNU's that climbs out",
    () => tgzOf(tarEntry("././@LongLink", "L", "../evil\0"), ...sound),
    /"\.\.\/evil" is not a plain file name/,
  ],
  [
    "a sparse file of GNU's",
    () => tgzOf(tarEntry("plugin.js", "S", SOURCE), ...sound),
    /"plugin\.js" is a sparse file/,
  ],
  [
    "a sparse file of POSIX's",
    () => tgzOf(tarEntry("x", "x", paxRecord("GNU.sparse.realsize", "99999999999")), ...sound),
    /an extended header sets "GNU\.sparse\.realsize"/,
  ],
  ["a directory with content", () => tgzOf(tarEntry("./", "5", "x"), ...sound), /a directory with content/],
  [
    "a size below zero",
    () => tgzOf(tarEntry("plugin.js", "0", SOURCE, `\xff${"\xff".repeat(11)}`), ...sound),
    /larger than|not a sound tar file/,
  ],
  [
    "a size that is no number",
    () => tgzOf(tarEntry("plugin.js", "0", SOURCE, "0000000-005 "), ...sound),
    /not a sound tar file: a header's size is no number/,
  ],
  [
    "another archive after its end",
    () => tgzOf(...sound, Buffer.alloc(1024), ...sound),
    /not a sound tar file: something follows its end/,
  ],
  [
    "an entry that ends before its content",
    () => gzipSync(Buffer.concat(sound).subarray(0, -512)),
    /not a sound tar file: it ends in the middle of an entry/,
  ],
  ["nothing in it", () => tgz([]), /plugin\.yaml: not in the package/],
  ["no bytes", () => new Uint8Array(), /not a gzip file/],
  ["bytes that are no archive", () => Buffer.from("hello"), /not a gzip file/],
  ["gzip that is no tar", () => gzipSync("hello ".repeat(200)), /not a sound tar file/],
  ["a truncated gzip stream", async () => (await packageOf()).subarray(0, 100), /not a sound gzip file/],
  ["a truncated tar stream", () => gzipSync(Buffer.alloc(700, 1)), /not a sound tar file/],
  [
    "10 GB of zeros inside, by a compressed bomb",
    () => bomb(),
    new RegExp(`unpacks to more than ${MAX_UNPACKED_BYTES}`),
  ],
  ["more bytes than a package may have", () => oversized(), new RegExp(`larger than ${MAX_PACKAGE_BYTES}`)],
];

/** Gzip members one after another are one stream: a hundred bytes of repetition stand for any size. */
function bomb(): Uint8Array {
  const member = gzipSync(Buffer.alloc(8 << 20));
  return Buffer.concat(
    Array.from({ length: 1280 }, () => member).slice(0, Math.floor(MAX_PACKAGE_BYTES / member.length)),
  );
}

function oversized(): Uint8Array {
  const bytes = Buffer.alloc(MAX_PACKAGE_BYTES + 1);
  bytes.set([0x1f, 0x8b]);
  return bytes;
}

for (const [title, make, reason] of HOSTILE) {
  test(`an archive with ${title} is refused`, async () => {
    assert.match(await reasons(await make()), reason);
  });
}

test("an entry that claims more bytes than may be unpacked is refused by its header", async () => {
  const header = Buffer.from(await tgzHeader(11 * 1024 ** 3));
  await assert.rejects(unpack(gzipSync(header)), /"plugin\.js" is larger than/);
});

/** The tar header of a file of that size, without the file. */
async function tgzHeader(size: number): Promise<Uint8Array> {
  const { pack: makeTar } = await import("tar-stream");
  const archive = makeTar();
  archive.entry({ name: "plugin.js", size });
  for await (const chunk of archive) return chunk as Uint8Array;
  return new Uint8Array();
}

test("every prefix and every flipped byte of a package ends in a verdict", async () => {
  const bytes = Buffer.from(await packageOf());
  for (let i = 0; i < bytes.length; i++) {
    const cut = await openPackage(bytes.subarray(0, i));
    assert.ok(cut.violations, `prefix of ${i} bytes`);
    const flipped = Buffer.from(bytes);
    flipped[i] = (flipped[i] as number) ^ 0xff;
    const { opened, violations } = await openPackage(flipped);
    assert.ok(opened || violations);
  }
});
