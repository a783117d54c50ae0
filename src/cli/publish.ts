/** Sends a package to a gateway's Admin API and tells what came of it. */
import { readFile } from "node:fs/promises";
import { isObject } from "@gatehouse/sdk";
import { violationLines } from "../control/refusal.ts";
import { MAX_PACKAGE_BYTES } from "../registry/archive.ts";
import { digestOf, openPackage } from "../registry/package.ts";
import { AdminApi, type AdminOptions, messageOf, Unreachable } from "./admin-api.ts";
import { signedBy } from "./author-key-file.ts";
import { describeViolations, PackError } from "./pack.ts";
import { inWorkspace } from "./workspace-path.ts";

/** The forge has ten seconds; uploading eight megabytes over a tunnel may take longer. */
const TIMEOUT_MS = 120_000;

export interface Published {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly workspace: string;
  /** False when the gateway had the same bytes already. */
  readonly created: boolean;
  /** Name of the key that it was signed with. */
  readonly signed_by?: string;
}

/**
 * @param key file of an author's key, and what it is called in the workspace; null to sign nothing.
 * @throws {PackError} when the package is not sound or the gateway refuses it.
 * @throws {WrongAdmin} when the gateway does not listen to whoever asks.
 * @throws {Unreachable} when trying again may help.
 */
export async function publishFile(
  file: string,
  admin: AdminOptions,
  workspace: string,
  key: { readonly file: string; readonly name: string | null } | null = null,
): Promise<Published> {
  const api = await AdminApi.open(admin);
  const bytes = await read(file);
  const { opened, violations } = await openPackage(bytes);
  if (violations) throw new PackError(describeViolations(file, violations));
  const { name, version } = opened.manifest;
  const signature = key === null ? null : await signedBy(key.file, key.name, digestOf(bytes));
  const signer = signature === null ? {} : { signed_by: signature.slice(0, signature.lastIndexOf(":")) };
  const answer = await api.ask("POST", inWorkspace(workspace, "plugin-packages"), {
    body: bytes,
    ...(signature === null ? {} : { headers: { "gatehouse-signature": signature } }),
    type: "application/gzip",
    timeoutMs: TIMEOUT_MS,
  });
  const { status, body } = answer;
  if (status === 201 || status === 200)
    return { id: digestOf(bytes), name, version, workspace, created: status === 201, ...signer };
  if (status === 429 || status >= 500) throw new Unreachable(messageOf(answer));
  if (status === 409)
    throw new PackError([
      `${name}@${version} is published with other bytes; give it a new version in plugin.yaml`,
    ]);
  if (status === 404)
    throw new PackError([`${api.origin} knows no workspace '${workspace}', or is not an Admin API (404)`]);
  const fields = body?.fields;
  if (status === 400 && isObject(fields) && violationLines(fields).length > 0)
    throw new PackError(violationLines(fields).map((line) => `${file}: ${line}`));
  throw new PackError([messageOf(answer)]);
}

async function read(file: string): Promise<Uint8Array> {
  try {
    const bytes = await readFile(file);
    if (bytes.length <= MAX_PACKAGE_BYTES) return bytes;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new PackError([
      code === "EISDIR"
        ? `${file} is a directory; make a package of it first: gatehouse plugin pack ${file}`
        : `${file} cannot be read (${code})`,
    ]);
  }
  throw new PackError([
    `${file} is larger than ${MAX_PACKAGE_BYTES} bytes, the most that a package may have`,
  ]);
}
