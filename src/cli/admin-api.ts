/**
 * The Admin API of a running gateway, as commands ask it: where it is, and by which token.
 *
 * A token is sent that was given by `--token` or GATEHOUSE_ADMIN_TOKEN. Without one the operator's own, which the gateway
 * keeps under its prefix, is sent to this machine alone: nobody who is named by a mistyped URL gets to see it.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isObject } from "@gatehouse/sdk";
import type { Command } from "commander";
import { isLoopback } from "../settings/addresses.ts";

const FALLBACK_ADMIN = "http://127.0.0.1:8001";
const DEFAULT_PREFIX = "./.gatehouse";
/** How `--admin` is found where it is not given, for help texts. */
export const ADMIN_DEFAULT = `default: that of the gateway that runs on --prefix, else ${FALLBACK_ADMIN}`;
const TIMEOUT_MS = 30_000;
/** A stream that says nothing for so long is broken: an empty line comes more often. */
const SILENCE_MS = 60_000;
/** Characters of a line of a stream. */
const MAX_LINE = 1_000_000;

/** What commands that ask a gateway are given. */
export interface AdminOptions {
  /** Base URL. */
  readonly admin?: string;
  readonly token?: string;
  /** Of a gateway on this machine. */
  readonly prefix?: string;
}

/** It cannot be asked like this: something on the command line has to be changed. */
export class WrongAdmin extends Error {
  override name = "WrongAdmin";
}

/** The gateway could not be asked, or is busy: the same command may succeed later. */
export class Unreachable extends Error {
  override name = "Unreachable";
}

export interface AdminAnswer {
  readonly status: number;
  /** Null if it is no JSON object. */
  readonly body: Record<string, unknown> | null;
}

/** Adds `--admin`, `--token` and `--prefix` to a command. */
export function addAdminOptions(command: Command): Command {
  return command
    .option("--admin <url>", `Admin API of the gateway (${ADMIN_DEFAULT})`)
    .option(
      "--token <token>",
      "token for the Admin API; better by GATEHOUSE_ADMIN_TOKEN, which others cannot see",
    )
    .option(
      "--prefix <dir>",
      `prefix of a gateway on this machine, whose own token is used (default: ${DEFAULT_PREFIX})`,
    );
}

export class AdminApi {
  readonly #base: URL;
  readonly #token: string | null;

  private constructor(base: URL, token: string | null) {
    this.#base = base;
    this.#token = token;
  }

  /** @throws {WrongAdmin} */
  static async open(options: AdminOptions, env = process.env): Promise<AdminApi> {
    const prefix = options.prefix ?? (env.GATEHOUSE_PREFIX || DEFAULT_PREFIX);
    const admin = options.admin ?? (await runningOn(prefix)) ?? FALLBACK_ADMIN;
    const base = URL.parse(admin.endsWith("/") ? admin : `${admin}/`);
    if (!base || !["http:", "https:"].includes(base.protocol))
      throw new WrongAdmin(`'${admin}' is not the URL of an Admin API; write http://host:port`);
    const given = options.token ?? (env.GATEHOUSE_ADMIN_TOKEN || undefined);
    if (given !== undefined && !/^[\x21-\x7e]{1,256}$/.test(given))
      throw new WrongAdmin("the token is no token: it has other characters than a header field may have");
    return new AdminApi(base, given ?? (await ownToken(base, prefix, options.prefix !== undefined)));
  }

  get hasToken(): boolean {
    return this.#token !== null;
  }

  /**
   * Lines of JSON that it sends as things happen, until it ends the stream or `signal` does; empty ones are left out.
   * @throws {Unreachable} @throws {WrongAdmin} also with what it has against the question.
   */
  async *lines(path: string, signal: AbortSignal): AsyncGenerator<string> {
    const { request } = await import("undici");
    try {
      const { statusCode, body } = await request(new URL(path, this.#base), {
        headers: this.#token === null ? {} : { "kong-admin-token": this.#token },
        headersTimeout: TIMEOUT_MS,
        bodyTimeout: SILENCE_MS,
        signal,
      });
      if (statusCode !== 200) throw this.#refused({ status: statusCode, body: parsed(await body.text()) });
      body.setEncoding("utf8");
      let rest = "";
      for await (const part of body) {
        const lines = (rest + String(part)).split("\n");
        rest = lines.pop() as string;
        if (rest.length > MAX_LINE) throw new Unreachable(`${this.origin} sends something else than lines`);
        for (const line of lines) if (line !== "") yield line;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof WrongAdmin || error instanceof Unreachable) throw error;
      const { code, message } = error as NodeJS.ErrnoException;
      throw new Unreachable(
        `${this.origin} cannot be reached (${code ?? message}); is the gateway running, and is this its Admin API?`,
      );
    }
  }

  #refused(answer: AdminAnswer): Error {
    const { status, body } = answer;
    if (status === 401) return this.#notAdmitted();
    const options = isObject(body?.options) ? Object.entries(body.options) : [];
    const details = options.map(([name, problem]) => `\n${name}: ${String(problem)}`).join("");
    const message = messageOf(answer) + details;
    return status === 429 || status >= 500 ? new Unreachable(message) : new WrongAdmin(message);
  }

  #notAdmitted(): WrongAdmin {
    return new WrongAdmin(
      `${this.origin} wants a token${this.#token === null ? "" : ", and the one that was sent does not count"}; give ` +
        "one by GATEHOUSE_ADMIN_TOKEN or --token, or name the prefix of a gateway on this machine by --prefix",
    );
  }

  /** Where it is, for messages. */
  get origin(): string {
    return this.#base.origin;
  }

  /**
   * @param path without a slash before it; segments are encoded already.
   * @throws {Unreachable} @throws {WrongAdmin} it wants to know who asks, and does not listen to this token.
   */
  async ask(
    method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE",
    path: string,
    sent: {
      readonly body?: string | Uint8Array;
      readonly type?: string;
      readonly headers?: Readonly<Record<string, string>>;
      readonly timeoutMs?: number;
    } = {},
  ): Promise<AdminAnswer> {
    const { body: bytes = null, type = "application/json", headers = {}, timeoutMs = TIMEOUT_MS } = sent;
    // Loaded only when it is used: all commands share this program.
    const { request } = await import("undici");
    let status: number;
    let text: string;
    try {
      const answer = await request(new URL(path, this.#base), {
        method,
        headers: {
          ...headers,
          ...(bytes === null ? {} : { "content-type": type }),
          ...(this.#token === null ? {} : { "kong-admin-token": this.#token }),
        },
        body: bytes,
        signal: AbortSignal.timeout(timeoutMs),
      });
      status = answer.statusCode;
      text = await answer.body.text();
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      throw new Unreachable(
        `${this.origin} cannot be reached (${code ?? message}); is the gateway running, and is this its Admin API?`,
      );
    }
    const body = parsed(text);
    if (status === 401) throw this.#notAdmitted();
    return { status, body };
  }
}

/** The Admin API of the gateway that runs on a prefix, as that has written it there; null if none does. */
async function runningOn(prefix: string): Promise<string | null> {
  const text = await readFile(join(prefix, "ports.json"), "utf8").catch(() => "");
  const { admin, admin_ssl: ssl } = parsed(text) ?? {};
  if (typeof admin === "number") return `http://127.0.0.1:${admin}`;
  return typeof ssl === "number" ? `https://localhost:${ssl}` : null;
}

/**
 * The token under the prefix of a gateway on this machine, if it may be read.
 * @param isAskedFor whether somebody has named the prefix.
 */
async function ownToken({ hostname }: URL, prefix: string, isAskedFor: boolean): Promise<string | null> {
  const host = hostname.replace(/^\[|\]$/g, "");
  if (host !== "localhost" && !isLoopback(host)) return null;
  const { readTokenFile, tokenFile } = await import("../access/token-file.ts");
  try {
    return await readTokenFile(tokenFile(prefix));
  } catch (error) {
    if (!isAskedFor) return null;
    throw new WrongAdmin((error as Error).message);
  }
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** What a gateway said against it, for the person who asked. */
export function messageOf({ status, body }: AdminAnswer): string {
  return typeof body?.message === "string" ? `${body.message} (${status})` : `the gateway answered ${status}`;
}
