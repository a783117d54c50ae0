/**
 * Packages that attack whoever takes them in: one a row, by what it aims at. None may be kept, each gets a reason
 * that its author understands, and the next upload works. Rows without a reason are large or strange and yet
 * sound: they may be kept, as long as an answer comes.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { stringify } from "yaml";
import { packFiles } from "../../gateway/packages.ts";
import { tgz } from "../../registry/packages.ts";
import { assemble } from "../../sandbox/wasm/guests.ts";
import { body, leb, module, repeated, section } from "./modules.ts";

export interface AdmissionAttack {
  readonly name: string;
  readonly aim: "parser" | "rules" | "start" | "archive" | "manifest";
  /** The package as it is uploaded. */
  readonly make: () => Uint8Array | Promise<Uint8Array>;
  /** What the answer says; null if it may be admitted. */
  readonly reason: RegExp | null;
}

/** What was published once never comes back as something else: each is a version of its own. */
let versions = 0;
const manifest = (more: object = {}) => ({
  ...{ manifest: 1, name: "hostile", version: `1.0.${versions++}`, runtime: "extism", entry: "plugin.wasm" },
  phases: ["access"],
  ...more,
});
const MANIFEST = { name: "plugin.yaml", body: stringify(manifest()) };
const ENTRY = { name: "plugin.wasm", body: "x" };
const OK = '(func (export "access") (result i32) (i32.const 0))';

const wasm = (bytes: Uint8Array) => packFiles(manifest(), "plugin.wasm", bytes);
const wat = (text: string) => wasm(assemble(`(module ${text} ${OK})`));
const javascript = (source: Uint8Array) =>
  packFiles(manifest({ runtime: "isolate", entry: "plugin.js" }), "plugin.js", source);

/** Four things are wrong, and the author hears of all four at once. */
const EVERYTHING = /^(?=.*40000 table entries)(?=.*imports 'a'\.'b')(?=.*memory64)(?=.*exceptions)/;

function rows(
  aim: AdmissionAttack["aim"],
  list: [name: string, make: AdmissionAttack["make"], reason: RegExp | null][],
): AdmissionAttack[] {
  return list.map(([name, make, reason]) => ({ name, aim, make, reason }));
}

/** A package of this manifest, with keys taken away that are undefined, and these files beside it. */
const with_ = (more: object, ...files: { name: string; body: string }[]) =>
  tgz([{ name: "plugin.yaml", body: stringify(manifest(more)) }, ...(files.length > 0 ? files : [ENTRY])]);

const kibibytes = (count: number, byte = 0) => Buffer.alloc(count * 1024, byte);
export const ADMISSION_ATTACKS: readonly AdmissionAttack[] = [
  ...rows("parser", [
    ["malformed-module", () => wasm(Buffer.from("\0asm\x01\0\0\0 but then nothing")), /section|not valid/],
    ["no-module", () => wasm(Buffer.from("#!/bin/sh\nrm -rf /")), /is no WebAssembly module/],
    [
      "truncated-module",
      () => wasm(assemble(`(module ${OK})`).subarray(0, 25)),
      /in the middle of a section/,
    ],
    [
      "forged-count",
      () => wasm(module(section(1, [0xff, 0xff, 0xff, 0xff, 0x0f]))),
      /declares 4294967295 types/,
    ],
    [
      "overlong-number",
      () => wasm(module(section(1, new Array(9).fill(0x80)))),
      /number in the module is too long/,
    ],
    ["million-functions", () => wasm(repeated(1_000_000, body())), /has 1000000 functions; at most 50000/],
    ["nested-blocks-200000", () => wasm(repeated(1, body(nest(200_000)))), null],
    [
      "branch-table-too-long",
      () => wasm(repeated(1, body(branchTable(1, 100_000)))),
      /not valid WebAssembly/,
    ],
    ["branch-table-bomb", () => wasm(repeated(1, body(branchTable(60, 60_000)))), null],
    [
      "locals-bomb",
      () => wasm(assemble(`(module (func (local ${"i64 ".repeat(20_000)})) ${OK})`)),
      /20000 locals/,
    ],
    ["locals-overflow", () => wasm(module(...locals(0xffff_ffff))), /locals|not valid/],
    [
      "custom-section-bomb",
      () => wasm(Buffer.concat([assemble(`(module ${OK})`), customSections(1_000_000)])),
      null,
    ],
    ["one-huge-custom-section", () => wasm(withCustom(kibibytes(7000))), null],
    ["loops-that-all-pay", () => wasm(repeated(20_000, body(loops(20)))), null],
    ["long-function", () => wasm(repeated(1, body(kibibytes(7000, 0x01)))), null],
    ["types-bomb", () => wasm(module(section(1, types(20_000)))), /has 20000 types; at most 10000/],
    ["exports-bomb", () => wat(exports_(12_000)), /has 12001 exports; at most 10000/],
    ["javascript-nested", () => javascript(Buffer.from(`export default ${"[".repeat(400_000)}`)), /.+/],
    ["javascript-broken", () => javascript(Buffer.from("export default {;")), /is no ES module/],
    ["javascript-not-utf8", () => javascript(Buffer.from([0x2f, 0x2f, 0xff, 0xfe])), /not UTF-8/],
  ]),
  ...rows("rules", [
    ["forbidden-import", () => wat('(import "env" "system" (func (param i32)))'), /imports 'env'\.'system'/],
    [
      "prototype-import",
      () => wat('(import "extism:host/env" "constructor" (func))'),
      /'constructor': not available/,
    ],
    ["imported-memory", () => wat('(import "env" "memory" (memory 1))'), /memory must be the module's own/],
    [
      "imported-table",
      () => wat('(import "env" "table" (table 1 funcref))'),
      /table must be the module's own/,
    ],
    [
      "imported-global",
      () => wat('(import "gatehouse" "fuel" (global (mut i64)))'),
      /only functions may be imported/,
    ],
    [
      "gateway's-own-export",
      () => wat('(global (export "gatehouse:fuel") i64 (i64.const 0))'),
      /gateway's own/,
    ],
    ["missing-export", () => wasm(assemble("(module)")), /exports no function 'access'/],
    [
      "wrong-signature",
      () => wasm(assemble('(module (func (export "access") (param i64)))')),
      /must be a function without parameters that returns an i32/,
    ],
    [
      "wrong-import-signature",
      () => wat('(import "extism:host/env" "alloc" (func (param i32) (result i32)))'),
      /wrong signature/,
    ],
    ["shared-memory", () => wat("(memory 1 2 shared)"), /shared memory \(threads\)/],
    ["memory64", () => wat("(memory i64 1 2)"), /memory64/],
    ["two-memories", () => wat("(memory 1) (memory 1)"), /2 memories/],
    ["65536-pages", () => wat("(memory 65536)"), /starts with a memory of 65536 pages; at most 512/],
    ["table-of-ten-million", () => wat("(table 10000000 funcref)"), /10000000 table entries; at most 32768/],
    ["threads", () => wat("(memory 1) (func (drop (i32.atomic.load (i32.const 0))))"), /threads/],
    ["exceptions", () => wat("(tag $t) (func (throw $t))"), /exceptions/],
    [
      "garbage-collection",
      () => wat("(type $s (struct)) (func (drop (struct.new $s)))"),
      /garbage collection/,
    ],
    ["tail-calls", () => wat("(func $f (return_call $f))"), /tail calls/],
    [
      "everything-at-once",
      () => wat('(import "a" "b" (func)) (memory i64 1) (tag) (table 40000 funcref)'),
      EVERYTHING,
    ],
  ]),
  ...rows("start", [
    ["start-loops", () => wat("(func $s (loop (br 0))) (start $s)"), /start-up fuel/],
    ["start-traps", () => wat("(func $s (unreachable)) (start $s)"), /unreachable/],
    ["start-recurses", () => wat("(func $s (call $s)) (start $s)"), /could not be started|call stack/],
    [
      "start-grows",
      () => wat("(memory 1) (func $s (loop (drop (memory.grow (i32.const 1))) (br 0))) (start $s)"),
      /start-up fuel/,
    ],
    [
      "start-fills-a-table",
      () =>
        wat(`(table $t 32768 funcref)
          (func $s (loop (table.fill $t (i32.const 0) (ref.null func) (i32.const 32768)) (br 0))) (start $s)`),
      /start-up fuel/,
    ],
    [
      "initialize-loops",
      () => wat('(func (export "_initialize") (loop (br 0)))'),
      /start-up fuel in _initialize/,
    ],
    ["data-outside-memory", () => wat('(memory 1) (data (i32.const 65536) "x")'), /could not be started/],
    [
      "top-level-loop",
      () => javascript(topLevel("while (go) {}")),
      /cannot be started: .*(timed out|not up within)/,
    ],
    [
      "top-level-throw-looping",
      () => javascript(topLevel("if (go) throw { get message() { for (;;) {} } };")),
      /cannot be started/,
    ],
    ["create-loops", () => javascript(plugin("while (true);")), /timed out|not up within/],
    [
      "create-allocates",
      () => javascript(plugin("const all = []; for (;;) all.push(new Array(1e5).fill(7));")),
      /.+/,
    ],
    ["create-without-hooks", () => javascript(plugin("return {};")), /returned no access/],
  ]),
  ...rows("archive", [
    [
      "zip-slip",
      () => tgz([MANIFEST, ENTRY, { name: "../../etc/passwd", body: "x" }]),
      /not a plain file name/,
    ],
    [
      "absolute-path",
      () => tgz([MANIFEST, ENTRY, { name: "/etc/passwd", body: "x" }]),
      /not a plain file name/,
    ],
    [
      "symlink",
      () => tgz([MANIFEST, { name: "plugin.wasm", type: "symlink", linkname: "/etc/passwd" }]),
      /is a symlink/,
    ],
    [
      "hard-link",
      () => tgz([MANIFEST, { name: "plugin.wasm", type: "link", linkname: "plugin.yaml" }]),
      /is a link/,
    ],
    ["device", () => tgz([MANIFEST, { name: "plugin.wasm", type: "block-device" }]), /is a block-device/],
    ["fifo", () => tgz([MANIFEST, { name: "plugin.wasm", type: "fifo" }]), /is a fifo/],
    ["ten-gigabytes-unpacked", tenGigabytes, /unpacks to more than 16777216 bytes/],
    ["hundred-megabytes-of-zeros", () => gzipSync(Buffer.alloc(100 << 20)), /unpacks to more than/],
    [
      "thousand-entries",
      () => tgz(Array.from({ length: 1000 }, (_, i) => ({ name: `f${i}` }))),
      /more than 16 entries/,
    ],
    ["size-that-lies", lyingSize, /is larger than 16777216 bytes/],
    ["two-entries-of-one-name", () => tgz([MANIFEST, ENTRY, ENTRY]), /is there twice/],
    [
      "manifest-with-aliases",
      () => tgz([{ name: "plugin.yaml", body: BILLION_LAUGHS }, ENTRY]),
      /an anchor \(&name\) is not allowed.*\(line \d+\)/,
    ],
    ["limits-above-the-workspace", () => limits({ fuel: 1e15 }), /may only lower/],
    ["no-archive", () => Buffer.from("PK\x03\x04 a zip file"), /not a gzip file/],
    [
      "truncated-archive",
      async () => (await tgz([MANIFEST, ENTRY])).subarray(0, 60),
      /not a sound gzip file/,
    ],
    ["no-tar", () => gzipSync("tar? ".repeat(300)), /not a sound tar file/],
    ["no-manifest", () => tgz([ENTRY]), /plugin\.yaml: not in the package/],
  ]),
  ...rows("manifest", [
    [
      "nothing-required-is-there",
      () => tgz([{ name: "plugin.yaml", body: "manifest: 1" }, ENTRY]),
      /^5 schema violations(?=.*entry: required)(?=.*name: required)(?=.*phases: )(?=.*runtime: required)(?=.*version: required)/,
    ],
    ["not-yaml", () => tgz([{ name: "plugin.yaml", body: "a: [1\nb: }" }, ENTRY]), /plugin\.yaml/],
    [
      "phases-that-exclude-each-other",
      () => with_({ phases: ["response", "header_filter"] }),
      /excludes header_filter/,
    ],
    [
      "phases-limits-and-grants-that-contradict",
      () =>
        with_(
          {
            ...{ runtime: "isolate", entry: "plugin.js", phases: ["response", "body_filter"] },
            limits: { fuel: 1000 },
          },
          { name: "plugin.js", body: "export default {};" },
        ),
      /^3 schema violations(?=.*limits\.fuel: bounds guests of runtime 'extism' only)(?=.*phases: 'response')(?=.*body_filter sees nothing)/,
    ],
    [
      "manifest-and-files-wrong",
      () => with_({ name: "UPPER", extra: 1, entry: "missing.wasm" }),
      /^4 schema violations(?=.*extra: unknown field)(?=.*name: )(?=.*'plugin\.wasm' does not belong)(?=.*'missing\.wasm' is not in the package)/,
    ],
    ["unknown-runtime", () => with_({ runtime: "native" }), /expected one of: isolate, extism/],
    [
      "javascript-for-webassembly",
      () => packFiles(manifest(), "plugin.wasm", Buffer.from("export default {};")),
      /is no WebAssembly module/,
    ],
    [
      "webassembly-for-javascript",
      () => javascript(assemble(`(module ${OK})`)),
      /is not UTF-8 text|is no ES module/,
    ],
    [
      "another-abi",
      () =>
        wasm(
          assemble(`(module (import "env" "proxy_log" (func (param i32 i32 i32) (result i32)))
            (func (export "proxy_abi_version_0_2_1"))
            (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0)))`),
        ),
      /^2 schema violations(?=.*imports 'env'\.'proxy_log')(?=.*exports no function 'access')/,
    ],
    [
      "imports-unknown-and-not-granted",
      () =>
        wat(`(import "extism:host/user" "kv_get" (func (param i64) (result i64)))
          (import "extism:host/user" "open_door" (func)) (memory 600)`),
      /^3 schema violations(?=.*'open_door')(?=.*600 pages)(?=.*grants\.kv_bytes)/,
    ],
  ]),
];

/** `plugin.js` that attacks as soon as it is evaluated. */
function topLevel(code: string): Uint8Array {
  return Buffer.from(`let go = true;\n${code}\nexport default { create: () => ({ access() {} }) };`);
}

/** `plugin.js` whose `create` does this. */
function plugin(code: string): Uint8Array {
  return Buffer.from(`export default { name: "x", version: "1.0.0", priority: 1, create() { ${code} } };`);
}

function nest(depth: number): Buffer {
  return Buffer.concat([Buffer.alloc(depth * 2, Buffer.from([0x02, 0x40])), Buffer.alloc(depth, 0x0b)]);
}

/** `block ... i32.const 0 br_table 0 0 0 ... end`, so many times. */
function branchTable(times: number, targets: number): Buffer {
  const one = [0x02, 0x40, 0x41, 0, 0x0e, ...leb(targets), ...new Array<number>(targets + 1).fill(0), 0x0b];
  return Buffer.concat(new Array<Buffer>(times).fill(Buffer.from(one)));
}

/** Empty loops: each becomes five times as long when it is metered. */
function loops(times: number): Buffer {
  return Buffer.alloc(times * 3, Buffer.from([0x03, 0x40, 0x0b]));
}

/** A function that declares so many locals in one group. */
function locals(count: number): Buffer[] {
  const code = [1, ...leb(count), 0x7f, 0x0b];
  return [section(1, [1, 0x60, 0, 0]), section(3, [1, 0]), section(10, [1, ...leb(code.length), ...code])];
}

function types(count: number): Buffer {
  return Buffer.concat([Buffer.from(leb(count)), Buffer.alloc(count * 3, Buffer.from([0x60, 0, 0]))]);
}

function exports_(count: number): string {
  return Array.from({ length: count }, (_, i) => `(func (export "f${i}"))`).join(" ");
}

function customSections(count: number): Buffer {
  return Buffer.alloc(count * 4, Buffer.from([0, 2, 1, 0x78]));
}

function withCustom(content: Uint8Array): Buffer {
  return Buffer.concat([
    assemble(`(module ${OK})`),
    section(0, Buffer.concat([Buffer.from([1, 0x78]), content])),
  ]);
}

/** Gzip members one after another are one stream: a kilobyte stands for a megabyte. */
function tenGigabytes(): Buffer {
  const member = gzipSync(Buffer.alloc(8 << 20));
  return Buffer.concat(new Array<Buffer>(Math.min(1280, Math.floor((8 << 20) / member.length))).fill(member));
}

/** A header that promises more bytes than follow. */
async function lyingSize(): Promise<Uint8Array> {
  const header = Buffer.alloc(512);
  header.write("plugin.wasm", 0);
  header.write("0000644\0", 100);
  header.write("77777777777\0", 124);
  header.write("00000000000\0", 136);
  header.write("ustar\x0000", 257);
  header.write("0", 156);
  header.fill(" ", 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return gzipSync(Buffer.concat([header, Buffer.alloc(1024)]));
}

const BILLION_LAUGHS = `a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: [*b, *b, *b]\n`;

async function limits(asked: object): Promise<Uint8Array> {
  const artifact = await readFile(join(import.meta.dirname, "attacks.ts"));
  return packFiles(manifest({ limits: asked }), "plugin.wasm", artifact);
}
