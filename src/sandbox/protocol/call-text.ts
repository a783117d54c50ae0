/**
 * A hook call as it came over the wire (`callFrame` of frames.ts): the one reader of its layout, in a cordon and
 * inside its isolates, so nothing here needs Node. Headers, bodies and what is JSON are taken apart only when
 * they are asked for: most guests look at a header or two.
 */
import { type Consumer, type Context, PHASES, type Phase } from "@gatehouse/sdk";
import { latin1Utf8 } from "./text.ts";

/** By their numbers on the wire. */
export const SOURCES = ["service", "exit", "error"] as const;
const double = new DataView(new ArrayBuffer(8));

/** Reads from front to back. What it reads was written by a data thread, and is checked once at its end. */
class TextReader {
  readonly text: string;
  at = 0;

  constructor(text: string) {
    this.text = text;
  }

  u8(): number {
    return this.text.charCodeAt(this.at++);
  }

  u16(): number {
    return (this.u8() << 8) | this.u8();
  }

  f64(): number {
    for (let i = 0; i < 8; i++) double.setUint8(i, this.u8());
    return double.getFloat64(0);
  }

  latin1(): string {
    const from = this.at + 4;
    this.at = from + lengthAt(this.text, this.at);
    return this.text.slice(from, this.at);
  }
}

/** Header fields, taken apart when they are first looked at. */
export class HeaderText {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The first value of a field, or undefined. Hot: nothing is made of the fields in front of it. */
  find(lower: string): string | undefined {
    const text = this.#text;
    const { length } = lower;
    for (let at = 2; at < text.length; ) {
      const name = at + 4;
      const value = name + lengthAt(text, at) + 4;
      const end = value + lengthAt(text, value - 4);
      if (value - name - 4 === length && text.slice(name, value - 4).toLowerCase() === lower)
        return text.slice(value, end);
      at = end;
    }
    return undefined;
  }

  entries(): [string, string][] {
    if (this.#text === "") return [];
    const reader = new TextReader(this.#text);
    const entries: [string, string][] = [];
    for (let left = reader.u16(); left > 0; left--) entries.push([reader.latin1(), reader.latin1()]);
    return entries;
  }
}

function lengthAt(text: string, at: number): number {
  return (
    (text.charCodeAt(at) << 24) |
    (text.charCodeAt(at + 1) << 16) |
    (text.charCodeAt(at + 2) << 8) |
    text.charCodeAt(at + 3)
  );
}

export interface RequestText {
  readonly method: string;
  readonly scheme: string;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly query: string;
  readonly clientIp: string;
  readonly clientPort: number;
  readonly startedAt: number;
  readonly headers: HeaderText;
  readonly upstreamPath: string | null;
  readonly uriCaptures: string | null;
  readonly body: string | null;
}

export interface ResponseText {
  readonly status: number;
  readonly source: (typeof SOURCES)[number];
  readonly headers: HeaderText;
  readonly body: string | null;
}

/** Bodies are text of one byte a character; members that end in `Json` are JSON, null where there is nothing. */
export interface CallText {
  readonly phase: Phase;
  readonly now: number;
  readonly requestId: string;
  readonly workspace: string;
  readonly request: RequestText;
  readonly response: ResponseText | null;
  readonly chunk: string | null;
  readonly last: boolean;
  readonly routeJson: string | null;
  readonly serviceJson: string | null;
  readonly consumerJson: string | null;
  readonly credentialJson: string | null;
  readonly varsJson: string | null;
  readonly measures: Context["measures"] | null;
}

/** @throws {RangeError} if this is no whole call, or more than one */
export function readCallText(text: string): CallText {
  const reader = new TextReader(text);
  const now = reader.f64();
  const phase = PHASES[reader.u8()];
  const flags = reader.u16();
  const requestId = reader.latin1();
  const workspace = latin1Utf8(reader.latin1());
  const method = reader.latin1();
  const scheme = reader.latin1();
  const host = reader.latin1();
  const port = reader.u16();
  const path = reader.latin1();
  const query = reader.latin1();
  const clientIp = reader.latin1();
  const clientPort = reader.u16();
  const startedAt = reader.f64();
  const headers = new HeaderText(reader.latin1());
  const when = (flag: number): string | null => ((flags & flag) !== 0 ? reader.latin1() : null);
  const upstreamPath = when(1);
  const uriCaptures = when(2);
  const body = when(4);
  let response: ResponseText | null = null;
  if ((flags & 8) !== 0) {
    const status = reader.u16();
    const source = SOURCES[reader.u8()] ?? "error";
    response = { status, source, headers: new HeaderText(reader.latin1()), body: when(16) };
  }
  const chunk = when(32);
  const last = (flags & 64) !== 0;
  const routeJson = when(128);
  const serviceJson = when(256);
  const consumerJson = when(512);
  const credentialJson = when(1024);
  const varsJson = when(2048);
  let measures: Context["measures"] | null = null;
  if ((flags & 4096) !== 0)
    measures = {
      requestBytes: reader.f64(),
      responseBytes: reader.f64(),
      totalMs: reader.f64(),
      upstreamMs: reader.f64(),
      gatewayMs: reader.f64(),
    };
  if (phase === undefined || reader.at !== text.length) throw new RangeError("a call that cannot be read");
  return {
    phase,
    now,
    requestId,
    workspace,
    request: {
      method,
      scheme,
      host,
      port,
      path,
      query,
      clientIp,
      clientPort,
      startedAt,
      headers,
      upstreamPath,
      uriCaptures,
      body,
    },
    response,
    chunk,
    last,
    routeJson,
    serviceJson,
    consumerJson,
    credentialJson,
    varsJson,
    measures,
  };
}

/** What JSON of the call says, null where there is none. */
export function parsed<T extends object | Consumer>(json: string | null): T | null {
  return json === null ? null : (JSON.parse(latin1Utf8(json)) as T);
}
