/** Packages and archives for tests: sound ones by `pack`, hostile ones header by header. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { gzipSync } from "node:zlib";
import * as tar from "tar-stream";
import { stringify } from "yaml";
import { pack } from "../../src/registry/archive.ts";
import { type Forge, Registry, type RegistryOptions } from "../../src/registry/registry.ts";
import { MemoryDatabase, MemoryStore } from "../../src/stores/memory.ts";

export const MANIFEST = {
  manifest: 1,
  name: "header-stamp",
  version: "1.2.0",
  runtime: "isolate",
  entry: "plugin.js",
  phases: ["access"],
};

export const SOURCE = "export default {};\n";

/** A package of this manifest and one file, its entry. */
export function packageOf(manifest: object = MANIFEST, source: string = SOURCE): Promise<Uint8Array> {
  const files = { "plugin.yaml": stringify(manifest), "plugin.js": source };
  return pack(new Map(Object.entries(files).map(([name, text]) => [name, Buffer.from(text)])));
}

type Entry = Partial<tar.Header> & { name: string; body?: string | Uint8Array };

/** A `.tgz` of exactly these entries, sound or not. */
export async function tgz(entries: Entry[]): Promise<Uint8Array> {
  const archive = tar.pack();
  for (const { body, ...header } of entries) archive.entry(header, Buffer.from(body ?? ""));
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) chunks.push(chunk as Uint8Array);
  return gzipSync(Buffer.concat(chunks));
}

/** A tar header as POSIX has it, of whatever kind, and its content. */
export function tarEntry(name: string, type: string, content: string | Uint8Array, size?: string): Buffer {
  const bytes = Buffer.from(content);
  const block = Buffer.alloc(512 + Math.ceil(bytes.length / 512) * 512);
  const fields: [at: number, text: string][] = [
    [0, name],
    [100, "0000644\0"],
    [124, size ?? `${bytes.length.toString(8).padStart(11, "0")} `],
    [148, " ".repeat(8)],
    [156, type],
    [257, "ustar\x0000"],
  ];
  for (const [at, text] of fields) block.write(text, at, "latin1");
  const sum = block.subarray(0, 512).reduce((all, byte) => all + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  bytes.copy(block, 512);
  return block;
}

/** A record of a pax header. */
export function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length++;
  return length + rest;
}

/** A `.tgz` of these parts and the end of an archive. */
export function tgzOf(...parts: Uint8Array[]): Uint8Array {
  return gzipSync(Buffer.concat([...parts, Buffer.alloc(1024)]));
}

/** A directory that is gone when the test file is done. */
export function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), "gatehouse-test-"));
  after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Admits everything as it is. */
export const admit: Forge = async ({ artifact }) => ({ ok: true, emitted: artifact, report: {} });

/** What registries of a directory keep, as a store on a disk would from one to the next. */
const databases = new Map<string, MemoryDatabase>();

export function openRegistry(
  dir: string,
  forge: Forge = admit,
  options: Partial<RegistryOptions> = {},
): Promise<Registry> {
  const database = databases.get(dir) ?? new MemoryDatabase();
  databases.set(dir, database);
  return Registry.open({ dir, forge, store: new MemoryStore(database), log: () => undefined, ...options });
}
