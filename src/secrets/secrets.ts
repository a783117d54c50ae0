/**
 * Secrets that the operator puts there for plugins: `<secrets_dir>/<workspace>/<name>`, a file each.
 *
 * A workspace reaches its own directory and nothing else: names are checked, and a file counts only if it lies in
 * that directory once every symbolic link is followed (links inside are well: orchestrators swap a secret's
 * version by one). A file that other users of the machine may read is no secret and is refused. What was read is
 * kept for a second, so that a changed file is seen within that time.
 */
import { constants } from "node:fs";
import { open, realpath } from "node:fs/promises";
import { join, sep } from "node:path";
import { HostCallError } from "../sandbox/calls/host-call-error.ts";

export const MAX_SECRET_BYTES = 64 * 1024;
const KEPT_MS = 1000;
const MAX_KEPT = 1000;
/** One complaint about a secret tells of all that follow it within this time. */
const QUIET_MS = 60_000;
const NAME = /^[A-Za-z_][A-Za-z0-9_.-]{0,63}$/;
const WORKSPACE = /^(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}$/;

export interface SecretsOptions {
  /** `secrets_dir`; null where there are none. */
  readonly directory: string | null;
  /** Told why a secret that is there is not given out; never of its value. */
  readonly onRefused: (workspace: string, name: string, reason: string) => void;
}

interface Kept {
  readonly at: number;
  readonly value: Promise<string | null>;
}

class Unfit extends Error {}

export class Secrets {
  readonly #options: SecretsOptions;
  readonly #kept = new Map<string, Kept>();
  readonly #complained = new Map<string, number>();

  constructor(options: SecretsOptions) {
    this.#options = options;
  }

  /**
   * A secret of a workspace, without the line end at its end; null if there is none.
   * @throws {HostCallError} by rejection, if there is one that may not be given out.
   */
  read(workspace: string, name: string): Promise<string | null> {
    const { directory } = this.#options;
    if (directory === null || !NAME.test(name) || !WORKSPACE.test(workspace)) return Promise.resolve(null);
    const key = `${workspace}/${name}`;
    const now = performance.now();
    const kept = this.#kept.get(key);
    if (kept !== undefined && now - kept.at < KEPT_MS) return kept.value;
    if (this.#kept.size >= MAX_KEPT) this.#kept.clear();
    const value = readSecret(directory, workspace, name).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ENOTDIR") return null;
      this.#complain(
        key,
        workspace,
        name,
        error instanceof Unfit ? error.message : (error.code ?? "unreadable"),
      );
      throw new HostCallError(`the secret ${name} cannot be given out: the gateway's log says why`);
    });
    // Whoever asked hears of it; nobody may have asked for long.
    value.catch(() => {});
    this.#kept.set(key, { at: now, value });
    return value;
  }

  /** A workspace is no more: nothing of its secrets is kept in memory. */
  forget(workspace: string): void {
    for (const keys of [this.#kept, this.#complained])
      for (const key of keys.keys()) if (key.startsWith(`${workspace}/`)) keys.delete(key);
  }

  #complain(key: string, workspace: string, name: string, reason: string): void {
    const now = performance.now();
    if (now - (this.#complained.get(key) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return;
    if (this.#complained.size >= MAX_KEPT) this.#complained.clear();
    this.#complained.set(key, now);
    this.#options.onRefused(workspace, name, reason);
  }
}

async function readSecret(directory: string, workspace: string, name: string): Promise<string> {
  const home = join(await realpath(directory), workspace);
  const path = await realpath(join(home, name));
  if (!path.startsWith(home + sep))
    throw new Unfit("it is a link that leads out of its workspace's directory");
  // Not by a link that took its place meanwhile, and not waiting for a pipe's other end.
  const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const status = await file.stat();
    if (!status.isFile()) throw new Unfit("it is no file");
    if ((status.mode & 0o007) !== 0)
      throw new Unfit("other users of the machine have rights to it: take them away (chmod o= FILE)");
    if (status.size > MAX_SECRET_BYTES) throw new Unfit(`it has more than ${MAX_SECRET_BYTES} bytes`);
    const bytes = new Uint8Array(MAX_SECRET_BYTES + 1);
    let length = 0;
    for (;;) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length);
      length += bytesRead;
      if (bytesRead === 0) break;
      if (length > MAX_SECRET_BYTES) throw new Unfit(`it has more than ${MAX_SECRET_BYTES} bytes`);
    }
    try {
      const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(
        bytes.subarray(0, length),
      );
      return text.replace(/\r?\n$/, "");
    } catch {
      throw new Unfit("it is no UTF-8");
    }
  } finally {
    await file.close();
  }
}
