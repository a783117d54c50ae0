/** Sends a package to a gateway's Admin API and tells what came of it. */
import { readFile } from "node:fs/promises";
import { isObject } from "@gatehouse/sdk";
import { violationLines } from "../control/refusal.ts";
import { MAX_PACKAGE_BYTES } from "../registry/archive.ts";
import { digestOf, openPackage } from "../registry/package.ts";
import { describeViolations, PackError } from "./pack.ts";

/** The forge has ten seconds; uploading eight megabytes over a tunnel may take longer. */
const TIMEOUT_MS = 120_000;

/** The gateway could not be asked, or is busy: the same command may succeed later. */
export class Unreachable extends Error {
  override name = "Unreachable";
}

export interface Published {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly workspace: string;
  /** False when the gateway had the same bytes already. */
  readonly created: boolean;
}

/**
 * @param admin base URL of the Admin API.
 * @throws {PackError} when the package is not sound or the gateway refuses it.
 * @throws {Unreachable} when trying again may help.
 */
export async function publishFile(file: string, admin: string, workspace: string): Promise<Published> {
  const base = URL.parse(admin);
  if (!base || !["http:", "https:"].includes(base.protocol))
    throw new PackError([`'${admin}' is not the URL of an Admin API; write http://host:port`]);
  const bytes = await read(file);
  const { opened, violations } = await openPackage(bytes);
  if (violations) throw new PackError(describeViolations(file, violations));
  const { name, version } = opened.manifest;
  const path =
    workspace === "default" ? "plugin-packages" : `${encodeURIComponent(workspace)}/plugin-packages`;
  const { status, body } = await send(new URL(path, base.href.endsWith("/") ? base : `${base.href}/`), bytes);
  if (status === 201 || status === 200)
    return { id: digestOf(bytes), name, version, workspace, created: status === 201 };
  const message = typeof body.message === "string" ? body.message : `the gateway answered ${status}`;
  if (status === 429 || status >= 500) throw new Unreachable(`${message} (${status})`);
  if (status === 409)
    throw new PackError([
      `${name}@${version} is published with other bytes; give it a new version in plugin.yaml`,
    ]);
  if (status === 404)
    throw new PackError([`${base.origin} knows no workspace '${workspace}', or is not an Admin API (404)`]);
  const { fields } = body;
  if (status === 400 && isObject(fields) && violationLines(fields).length > 0)
    throw new PackError(violationLines(fields).map((line) => `${file}: ${line}`));
  throw new PackError([`${message} (${status})`]);
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

async function send(url: URL, bytes: Uint8Array): Promise<{ status: number; body: Record<string, unknown> }> {
  // Loaded only when it is used: `gatehouse start` shares this program.
  const { request } = await import("undici");
  try {
    const { statusCode, headers, body } = await request(url, {
      method: "POST",
      headers: { "content-type": "application/gzip" },
      body: bytes,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const text = await body.text();
    const isJson = String(headers["content-type"]).startsWith("application/json");
    return { status: statusCode, body: isJson ? (JSON.parse(text) as Record<string, unknown>) : {} };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Unreachable(
      `${url.origin} cannot be reached (${code ?? message}); is the gateway running, and is this its Admin API?`,
    );
  }
}
