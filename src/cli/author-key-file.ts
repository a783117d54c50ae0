/** An author's own key: made on their machine, kept in a file that only they may read, and sent to nobody. */
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { basename, extname } from "node:path";
import { PackError } from "./pack.ts";

/** Longer files are no keys. */
const MAX_BYTES = 16 << 10;

/**
 * Makes an Ed25519 key: `file` has the private half, `file.pub` the one to register.
 * @throws {PackError} one of them is there already, or cannot be written.
 */
export async function makeAuthorKey(file: string): Promise<{ readonly publicKey: string }> {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const text = publicKey.export({ type: "spki", format: "pem" }) as string;
  const write = (path: string, content: string, mode: number) =>
    writeFile(path, content, { mode, flag: "wx" }).catch(({ code }: NodeJS.ErrnoException) => {
      throw new PackError([
        code === "EEXIST"
          ? `${path} is there already; choose another name`
          : `${path} cannot be written (${code})`,
      ]);
    });
  await write(file, privateKey.export({ type: "pkcs8", format: "pem" }) as string, 0o600);
  await write(`${file}.pub`, text, 0o644);
  return { publicKey: text };
}

/**
 * The header value that says who stands for a package.
 * @param name of the key where it is registered; null for the file's own without its extension.
 * @throws {PackError}
 */
export async function signedBy(file: string, name: string | null, id: string): Promise<string> {
  const key = await readPrivateKey(file);
  const known = name ?? basename(file, extname(file)).toLowerCase();
  return `${known}:${sign(null, Buffer.from(id), key).toString("base64")}`;
}

async function readPrivateKey(file: string): Promise<KeyObject> {
  const bytes = await readFile(file).catch(({ code }: NodeJS.ErrnoException) => {
    throw new PackError([`${file} cannot be read (${code})`]);
  });
  const wrong = new PackError([
    `${file} is no Ed25519 private key in PEM; make one with 'gatehouse plugin keygen'`,
  ]);
  if (bytes.length > MAX_BYTES) throw wrong;
  try {
    const key = createPrivateKey(bytes);
    if (key.asymmetricKeyType === "ed25519") return key;
  } catch {
    // Told below.
  }
  throw wrong;
}
