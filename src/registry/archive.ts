/**
 * Packages as `.tgz` bytes: reads one that a stranger made, and makes one that is the same bytes every time.
 *
 * Reading never touches the file system and holds at most `MAX_UNPACKED_BYTES`.
 */
import { promisify } from "node:util";
import { constants, gunzip, gzipSync } from "node:zlib";
import * as tar from "tar-stream";
import { ArchiveError, type ArchiveFiles, readTar } from "./tar-reader.ts";

export { ArchiveError, MAX_ENTRIES } from "./tar-reader.ts";

const gunzipAsync = promisify(gunzip);

/** Most bytes of a package as it is uploaded. */
export const MAX_PACKAGE_BYTES = 8 << 20;
/** Most bytes of the tar stream inside it, headers and padding included. */
export const MAX_UNPACKED_BYTES = 16 << 20;

/**
 * Unpacks a gzip-compressed tar in memory.
 * @throws {ArchiveError} for anything but regular files with plain names.
 */
export async function unpack(bytes: Uint8Array): Promise<ArchiveFiles> {
  if (bytes.length > MAX_PACKAGE_BYTES) throw new ArchiveError(`larger than ${MAX_PACKAGE_BYTES} bytes`);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) throw new ArchiveError("not a gzip file");
  return readTar(await inflate(bytes), MAX_UNPACKED_BYTES);
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
