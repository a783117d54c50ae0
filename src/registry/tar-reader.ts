/**
 * Reads a tar archive that a stranger made, in memory. An archive of a package is two files with plain names, so
 * little of the format is needed, and everything else is refused by name: links, devices, sparse files, files twice,
 * what different readers would take for different files. Time goes by the number of headers, of which few are
 * allowed, never by what is written in them.
 *
 * The format: POSIX.1-2017, `pax`, section "ustar Interchange Format" and "pax Extended Header"; GNU tar's long names.
 */
import { MANIFEST_FILE } from "./manifest.ts";
import { MAX_MANIFEST_BYTES } from "./manifest-text.ts";

/** The manifest, the entry, the root directory that `tar` writes, and room for a message about others. */
export const MAX_ENTRIES = 16;
/** Bytes of a header that only says more about the entry after it: times, owners, a long name. */
export const MAX_EXTENDED_HEADER_BYTES = 16 * 1024;

/** A package that is not a sound archive; the message names the entry and the rule. */
export class ArchiveError extends Error {
  override name = "ArchiveError";
}

/** Files of an archive by name, `./` removed. */
export type ArchiveFiles = ReadonlyMap<string, Uint8Array>;

const BLOCK = 512;

/** What typeflags stand for that are not allowed. */
const KINDS: Readonly<Record<string, string>> = {
  "1": "a link",
  "2": "a symlink",
  "3": "a character-device",
  "4": "a block-device",
  "5": "a directory",
  "6": "a fifo",
  "7": "a contiguous-file",
  S: "a sparse file",
};

/** Records of an extended header that change what the entry after it is. */
const DECISIVE = /^(?:size|linkpath|GNU\.sparse\..*)$/;

/**
 * The files of a tar archive, each in memory of its own; `most` is the largest that one may be.
 * @throws {ArchiveError} for anything but regular files with plain names.
 */
export function readTar(bytes: Uint8Array, most: number): ArchiveFiles {
  const archive = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const files = new Map<string, Uint8Array>();
  /** The name that an extended header has for the next entry. */
  let longName: string | null = null;
  let entries = 0;
  let extended = 0;
  let at = 0;
  while (at < archive.length) {
    const header = readHeader(archive, at);
    if (header === null) {
      if (!isZero(archive.subarray(at))) throw unsound("something follows its end");
      break;
    }
    const { type, size } = header;
    at += BLOCK;
    if (type === "x" || type === "g" || type === "L") {
      if (++extended > MAX_ENTRIES) throw new ArchiveError(`more than ${MAX_ENTRIES} extended headers`);
      if (size > MAX_EXTENDED_HEADER_BYTES)
        throw new ArchiveError(`an extended header of more than ${MAX_EXTENDED_HEADER_BYTES} bytes`);
      const said = dataAt(archive, at, size);
      if (type === "L") longName = textUpToZero(said, 0, size);
      else longName = readRecords(said, type === "g") ?? longName;
    } else {
      if (++entries > MAX_ENTRIES) throw new ArchiveError(`more than ${MAX_ENTRIES} entries`);
      const name = longName ?? header.name;
      longName = null;
      const plain = name.replace(/^\.\//, "");
      const problem = entryProblem(name, plain, header, files, most);
      if (problem !== null) throw new ArchiveError(problem);
      // `tar -C DIR .` writes the directory itself first.
      if (!isRoot(plain, header)) files.set(plain, new Uint8Array(dataAt(archive, at, size)));
    }
    at += Math.ceil(size / BLOCK) * BLOCK;
  }
  if (longName !== null) throw unsound("it ends after an extended header");
  return files;
}

interface Header {
  readonly name: string;
  readonly type: string;
  /** Infinity for one that is written in the form for more than eight gigabytes. */
  readonly size: number;
}

/** Null for the end of the archive, a block of zeros. */
function readHeader(archive: Buffer, at: number): Header | null {
  if (archive.length - at < BLOCK) {
    if (isZero(archive.subarray(at))) return null;
    throw unsound("it ends in the middle of a header");
  }
  const block = archive.subarray(at, at + BLOCK);
  if (isZero(block)) return null;
  // The sum over all bytes, with spaces where the sum itself stands.
  let sum = 8 * 0x20;
  for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += block[i] as number;
  if (octal(block, 148, 8) !== sum) throw unsound("a header's checksum is wrong");
  if (!/^ustar[\0 ]/.test(block.toString("latin1", 257, 263)))
    throw unsound("a header is neither POSIX's nor GNU's");
  const size = octal(block, 124, 12);
  if (size === null) throw unsound("a header's size is no number");
  const name = textUpToZero(block, 0, 100);
  // GNU's headers have times where POSIX's have the name's first part.
  const first = block[262] === 0 ? textUpToZero(block, 345, 155) : "";
  const flag = block[156] as number;
  return {
    name: first === "" ? name : `${first}/${name}`,
    type: flag === 0 ? "0" : String.fromCharCode(flag),
    size,
  };
}

function isRoot(plain: string, { type }: Header): boolean {
  return (plain === "" || plain === ".") && type === "5";
}

/** What is wrong with an entry, judged by its header alone. */
function entryProblem(
  name: string,
  plain: string,
  header: Header,
  files: ArchiveFiles,
  most: number,
): string | null {
  const shown = JSON.stringify(name.slice(0, 100));
  const { type, size } = header;
  if (isRoot(plain, header)) return size === 0 ? null : `${shown} is a directory with content`;
  // Older programs write a directory so.
  const kind = type === "0" && name.endsWith("/") ? "5" : type;
  if (kind !== "0") return `${shown} is ${KINDS[kind] ?? "a special file"}; only regular files are allowed`;
  if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$/.test(plain))
    return `${shown} is not a plain file name; a package has no directories and no other characters than letters, digits, '.', '_' and '-'`;
  if (files.has(plain)) return `${shown} is there twice`;
  const mostOfThis = plain === MANIFEST_FILE ? MAX_MANIFEST_BYTES : most;
  return size > mostOfThis ? `${shown} is larger than ${mostOfThis} bytes` : null;
}

/** The name in the records of a pax header, `LENGTH KEY=VALUE\n` each; null if there is none. */
function readRecords(said: Buffer, forAll: boolean): string | null {
  let name: string | null = null;
  for (let at = 0; at < said.length; ) {
    const space = said.indexOf(0x20, at);
    const digits = space < 0 ? "" : said.toString("latin1", at, Math.min(space, at + 10));
    const length = /^[1-9][0-9]*$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    const equals = said.indexOf(0x3d, space);
    if (end > said.length || equals < 0 || equals >= end || said[end - 1] !== 0x0a)
      throw unsound("an extended header cannot be read");
    const key = said.toString("latin1", space + 1, equals);
    if (DECISIVE.test(key) || (key === "path" && forAll))
      throw new ArchiveError(
        `an extended header sets ${JSON.stringify(key.slice(0, 40))}, which no package needs`,
      );
    if (key === "path") name = said.toString("latin1", equals + 1, end - 1);
    at = end;
  }
  return name;
}

function dataAt(archive: Buffer, at: number, size: number): Buffer {
  if (size > archive.length - at) throw unsound("it ends in the middle of an entry");
  return archive.subarray(at, at + size);
}

/** Octal digits between spaces and zeros; Infinity for GNU's binary form, null for anything else. */
function octal(block: Buffer, from: number, length: number): number | null {
  if (((block[from] as number) & 0x80) !== 0) return Number.POSITIVE_INFINITY;
  const digits = /^[ \0]*([0-7]*)[ \0]*$/.exec(block.toString("latin1", from, from + length))?.[1];
  return digits === undefined ? null : Number.parseInt(digits || "0", 8);
}

function textUpToZero(block: Buffer, from: number, length: number): string {
  const end = block.indexOf(0, from);
  return block.toString("latin1", from, end < 0 || end > from + length ? from + length : end);
}

function isZero(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0) return false;
  return true;
}

function unsound(what: string): ArchiveError {
  return new ArchiveError(`not a sound tar file: ${what}`);
}
