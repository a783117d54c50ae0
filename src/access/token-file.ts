/**
 * `<prefix>/admin-token`: the operator's own token, an owner of all workspaces. It is made once, and whoever may read it
 * could read everything else under the prefix. It is no row of the store: it counts when the store is away, and on no
 * other gateway. Another one is had by removing the file and starting again.
 */
import { randomUUID } from "node:crypto";
import { constants } from "node:fs";
import { link, open, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { StartError } from "../gateway/start-error.ts";
import { freshToken, idOf, MAX_TOKEN_LENGTH } from "./token-table.ts";

export const tokenFile = (prefix: string): string => join(prefix, "admin-token");

/** The token in the file, which is made if it is not there. @throws {StartError} */
export async function openTokenFile(prefix: string): Promise<string> {
  const path = tokenFile(prefix);
  const there = await readTokenFile(path);
  if (there !== null) return there;
  const { text } = freshToken();
  const temporary = `${path}.${randomUUID()}`;
  try {
    await writeFile(temporary, `${text}\n`, { mode: 0o600, flag: "wx" });
    // Never in the place of one that somebody else has made meanwhile.
    await link(temporary, path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const made = code === "EEXIST" ? await readTokenFile(path) : null;
    if (made !== null) return made;
    throw new StartError(`${path}: cannot be written (${code})`);
  } finally {
    await unlink(temporary).catch(() => {});
  }
  return text;
}

/** @returns null if there is no such file. @throws {StartError} */
export async function readTokenFile(path: string): Promise<string | null> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return null;
    const why =
      code === "ELOOP" ? "is a symbolic link; put the file itself there" : `cannot be read (${code})`;
    throw new StartError(`${path}: ${why}`);
  }
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw new StartError(`${path}: is no file; remove it, and another one is made`);
    if ((stat.mode & 0o077) !== 0)
      throw new StartError(`${path}: other users of the machine have rights to it; chmod 600 ${path}`);
    const uid = process.getuid?.();
    if (stat.uid !== uid && stat.uid !== 0)
      throw new StartError(
        `${path}: belongs to another user of the machine; remove it, and another one is made`,
      );
    const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_TOKEN_LENGTH));
    const text = buffer.toString("latin1", 0, bytesRead).trim();
    if (idOf(text) === null)
      throw new StartError(`${path}: holds no token; remove it, and another one is made`);
    return text;
  } finally {
    await file.close();
  }
}
