/** What the corpus is made of. Bytes are latin1 strings; `rule` is the section that decides. */
import type { ErrorCode } from "../../../src/errors.ts";

interface Case {
  readonly name: string;
  readonly bytes: string;
  readonly rule: string;
}

export interface AcceptedRequests extends Case {
  /** Bodies of the messages, in order. */
  readonly bodies: readonly string[];
  /** Whether the last message ends the connection. */
  readonly closes?: boolean;
}

export interface RefusedRequest extends Case {
  readonly code: ErrorCode;
  /** Messages that are accepted before the refusal. */
  readonly after: number;
  /** Why this is refused although Node's parser accepts it; absent where Node refuses it, too. */
  readonly stricter?: string;
}

export interface AcceptedResponse extends Case {
  readonly body: string;
  readonly method?: string;
  /** Statuses of the 1xx answers before it. */
  readonly informed?: readonly number[];
}

export interface RefusedResponse extends Case {
  readonly method?: string;
  /** `partial`: the connection ended too early for anything to be refused. */
  readonly end: "refused" | "partial";
  readonly stricter?: string;
}

/** Lines joined as HTTP joins them. */
export function lines(...parts: string[]): string {
  return parts.join("\r\n");
}

/** A request with a valid start line and Host, these field lines, and what follows the empty line. */
export function withFields(fields: readonly string[], body = "", method = "GET", version = "1.1"): string {
  return lines(`${method} / HTTP/${version}`, "Host: a.example", ...fields, "", body);
}

export function chunkedRequest(body: string): string {
  return withFields(["Transfer-Encoding: chunked"], body, "POST");
}

export function response(fields: readonly string[], body = "", status = "200 OK", version = "1.1"): string {
  return lines(`HTTP/${version} ${status}`, ...fields, "", body);
}

export function chunkedResponse(body: string): string {
  return response(["Transfer-Encoding: chunked"], body);
}

export type RefusedRow = readonly [
  name: string,
  rule: string,
  code: ErrorCode,
  bytes: string,
  stricter?: string,
];

export function refusedRow([name, rule, code, bytes, stricter]: RefusedRow, after = 0): RefusedRequest {
  return { name, rule, code, bytes, stricter, after };
}

export type AcceptedRow = readonly [
  name: string,
  rule: string,
  bytes: string,
  bodies?: readonly string[],
  closes?: true,
];

/** A row's request has one empty body unless it says otherwise. */
export function acceptedRow([name, rule, bytes, bodies = [""], closes]: AcceptedRow): AcceptedRequests {
  return { name, rule, bytes, bodies, closes };
}
