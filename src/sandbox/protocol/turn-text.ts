/**
 * A turn as a cordon writes it, but for what it has used. An isolate's own runtime writes it inside the
 * isolate, so that it crosses as one string and is not read on its way; `readTurn` of frames.ts reads it, and
 * believes nothing.
 */
import { FAILURES, type Failure, type HeaderEdit, type HostCall } from "./engine.ts";
import { headerPairs, json, latin1, u8, u16, u32, utf8 } from "./text.ts";

export const TURN_KINDS = ["verdict", "waiting", "failure"] as const;
export const EDIT_KINDS = ["set", "add", "remove"] as const;
/** Characters of a failure's message. */
export const MAX_MESSAGE = 1024;

/** Verdict of engine.ts, its bodies as text of one byte a character. */
export interface VerdictText {
  request?: { headers?: HeaderEdit[]; method?: string; path?: string; query?: string; body?: string };
  response?: { headers?: HeaderEdit[]; status?: number; body?: string };
  chunk?: string;
  reply?: { status: number; headers: readonly (readonly string[])[]; body: string };
  vars?: Record<string, unknown>;
  authenticated?: { consumer: string | null; credential: string | null };
}

export function verdictTurn(verdict: VerdictText, hostCalls: readonly HostCall[]): string {
  let flags = 0;
  let out = "";
  const { request, response, chunk, reply, vars, authenticated } = verdict;
  if (request !== undefined) {
    flags |= 1;
    const { method, path, query } = request;
    let which = 0;
    let texts = "";
    if (method !== undefined) {
      which |= 1;
      texts += latin1(method);
    }
    if (path !== undefined) {
      which |= 2;
      texts += latin1(path);
    }
    if (query !== undefined) {
      which |= 4;
      texts += latin1(query);
    }
    out += u8(which) + texts + edits(request.headers, request.body);
  }
  if (response !== undefined) {
    flags |= 2;
    out += u16(response.status ?? 0) + edits(response.headers, response.body);
  }
  if (chunk !== undefined) {
    flags |= 4;
    out += latin1(chunk);
  }
  if (reply !== undefined) {
    flags |= 8;
    out += u16(reply.status) + headerPairs(reply.headers) + latin1(reply.body);
  }
  if (vars !== undefined) {
    flags |= 16;
    out += json(vars);
  }
  if (authenticated !== undefined) {
    flags |= 32;
    const { consumer, credential } = authenticated;
    out +=
      u8((consumer === null ? 0 : 1) | (credential === null ? 0 : 2)) +
      utf8(consumer ?? "") +
      utf8(credential ?? "");
  }
  return begin("verdict", hostCalls) + u8(flags) + out;
}

export function waitingTurn(hostCalls: readonly HostCall[]): string {
  return begin("waiting", hostCalls);
}

export function failureTurn(failure: Failure, message: string, hostCalls: readonly HostCall[]): string {
  return begin("failure", hostCalls) + u8(FAILURES.indexOf(failure)) + utf8(message.slice(0, MAX_MESSAGE));
}

function begin(kind: (typeof TURN_KINDS)[number], hostCalls: readonly HostCall[]): string {
  let out = u8(TURN_KINDS.indexOf(kind)) + u16(hostCalls.length);
  for (const { seq, waits, method, args } of hostCalls)
    out += u32(seq) + u8(waits ? 1 : 0) + latin1(method) + json(args);
  return out;
}

function edits(headers: readonly HeaderEdit[] | undefined, body: string | undefined): string {
  let out = u16(headers?.length ?? 0);
  for (const one of headers ?? [])
    out += u8(EDIT_KINDS.indexOf(one[0])) + latin1(one[1]) + (one[0] === "remove" ? "" : latin1(one[2]));
  return body === undefined ? out + u8(0) : out + u8(1) + latin1(body);
}
