/** Packages and archives for tests: sound ones by `pack`, hostile ones header by header. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { gzipSync } from "node:zlib";
import * as tar from "tar-stream";
import { stringify } from "yaml";
import { pack } from "../../src/registry/archive.ts";
import { type Forge, Registry } from "../../src/registry/registry.ts";

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

/** A directory that is gone when the test file is done. */
export function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), "gatehouse-test-"));
  after(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Admits everything as it is. */
export const admit: Forge = async ({ artifact }) => ({ ok: true, emitted: artifact, report: {} });

export function openRegistry(dir: string, forge: Forge = admit): Promise<Registry> {
  return Registry.open({ dir, forge, log: () => undefined });
}
