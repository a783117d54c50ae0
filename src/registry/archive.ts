/**
 * Packages as `.tgz` bytes: reads one that a stranger made, and makes one that is the same bytes every time.
 *
 * Reading never touches the file system and holds at most `MAX_UNPACKED_BYTES`: names that climb, links,
 * devices, duplicates and archives that unpack without end are refused while they stream by.
 */
import { promisify } from "node:util";
import { constants, gunzip, gzipSync } from "node:zlib";
import * as tar from "tar-stream";
import { MANIFEST_FILE } from "./manifest.ts";
import { MAX_MANIFEST_BYTES } from "./manifest-text.ts";

const gunzipAsync = promisify(gunzip);

/** Most bytes of a package as it is uploaded. */
export const MAX_PACKAGE_BYTES = 8 << 20;
/** Most bytes of the tar stream inside it, headers and padding included. */
export const MAX_UNPACKED_BYTES = 16 << 20;
/** The manifest, the entry, the root directory that `tar` writes, and room for a message about others. */
export const MAX_ENTRIES = 16;

/** A package that is not a sound archive; the message names the entry and the rule. */
export class ArchiveError extends Error {
  override name = "ArchiveError";
}

/** Files of an archive by name, `./` removed. */
export type ArchiveFiles = ReadonlyMap<string, Uint8Array>;

/**
 * Unpacks a gzip-compressed tar in memory.
 * @throws {ArchiveError} for anything but regular files with plain names.
 */
export async function unpack(bytes: Uint8Array): Promise<ArchiveFiles> {
  if (bytes.length > MAX_PACKAGE_BYTES) throw new ArchiveError(`larger than ${MAX_PACKAGE_BYTES} bytes`);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) throw new ArchiveError("not a gzip file");
  return readTar(await inflate(bytes));
}

/** Decompresses off the event loop's thread, and stops at the bound however much would follow. */
async function inflate(bytes: Uint8Array): Promise<Uint8Array> {
  try {
    return await gunzipAsync(bytes, { maxOutputLength: MAX_UNPACKED_BYTES });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE")
      throw new ArchiveError(`unpacks to more than ${MAX_UNPACKED_BYTES} bytes`);
    throw new ArchiveError(`not a sound gzip file: ${(error as Error).message}`);
  }
}

function readTar(bytes: Uint8Array): Promise<ArchiveFiles> {
  const files = new Map<string, Uint8Array>();
  const { promise, resolve, reject } = Promise.withResolvers<ArchiveFiles>();
  const extract = tar.extract();
  let entries = 0;
  extract.on("entry", (header, stream, next) => {
    // What ends `extract` ends the entry too; an entry's error without a listener would end the process.
    stream.on("error", () => undefined);
    const name = header.name.replace(/^\.\//, "");
    const problem =
      ++entries > MAX_ENTRIES ? `more than ${MAX_ENTRIES} entries` : entryProblem(name, header, files);
    if (problem !== undefined) {
      extract.destroy(new ArchiveError(problem));
      return;
    }
    const chunks: Uint8Array[] = [];
    stream.on("data", (chunk) => chunks.push(chunk as Uint8Array));
    stream.on("end", () => {
      if (header.type === "file") files.set(name, Buffer.concat(chunks));
      next();
    });
    stream.resume();
  });
  extract.on("error", (error) =>
    reject(
      error instanceof ArchiveError ? error : new ArchiveError(`not a sound tar file: ${error.message}`),
    ),
  );
  extract.on("finish", () => resolve(files));
  extract.end(bytes);
  return promise;
}

/** What is wrong with an entry, judged by its header alone. */
function entryProblem(name: string, header: tar.Header, files: ArchiveFiles): string | undefined {
  const shown = JSON.stringify(header.name.slice(0, 100));
  // `tar -C DIR .` writes the directory itself first.
  if (header.type === "directory" && (name === "" || name === ".")) return undefined;
  if (header.type !== "file")
    return `${shown} is a ${header.type ?? "special file"}; only regular files are allowed`;
  if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/.test(name))
    return `${shown} is not a plain file name; a package has no directories and no other characters than letters, digits, '.', '_' and '-'`;
  if (files.has(name)) return `${shown} is there twice`;
  const most = name === MANIFEST_FILE ? MAX_MANIFEST_BYTES : MAX_UNPACKED_BYTES;
  if ((header.size ?? 0) > most) return `${shown} is larger than ${most} bytes`;
  return undefined;
}

/**
 * Makes a package of files. The same files give the same bytes on every machine: names sorted, no times, no
 * owners, and no operating system in gzip's header.
 */
export async function pack(files: ArchiveFiles): Promise<Uint8Array> {
  const archive = tar.pack();
  const mtime = new Date(0);
  for (const name of [...files.keys()].sort()) {
    const header = { name, mode: 0o644, mtime, uid: 0, gid: 0, uname: "", gname: "", type: "file" as const };
    archive.entry(header, Buffer.from(files.get(name) as Uint8Array));
  }
  archive.finalize();
  const chunks: Uint8Array[] = [];
  for await (const chunk of archive) chunks.push(chunk as Uint8Array);
  const packed = gzipSync(Buffer.concat(chunks), { level: constants.Z_BEST_COMPRESSION });
  packed[9] = 255; // RFC 1952 2.3.1: OS unknown
  return packed;
}
