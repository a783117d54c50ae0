/**
 * What a data thread and a cordon say to each other. CONTRACT: both ends import this file.
 *
 * A cordon executes the frames of one socket strictly in order, and each CALL, PREPARE and HOST_REPLY yields
 * exactly one TURN. So a data thread knows which call is running without being told: the oldest one it has no TURN
 * for. Where a cordon serves several data threads it writes BATCH before it starts on a thread's frames, so
 * that nobody's call is blamed for the time another thread's call took.
 *
 * What comes from a cordon may have been written by a guest that escaped: it is held to the format and to
 * bounds here, and its values are checked again in verdict.ts before they touch a request.
 */
import { PHASES, type Phase } from "@gatehouse/sdk";
import { MAX_ARGUMENTS_BYTES, MAX_ARGUMENTS_PARTS } from "../calls/host-call-limits.ts";
import { type CallText, parsed, readCallText, SOURCES } from "./call-text.ts";
import {
  type EngineTurn,
  FAILURES,
  GATEWAYS_OWN,
  type GuestCall,
  type GuestConfig,
  type HeaderEdit,
  type HostCall,
  type RequestEdit,
  type ResponseEdit,
  type ShownCall,
  type Turn,
  type Usage,
  type Verdict,
} from "./engine.ts";
import { constantJson, headerPairs, json, latin1, u8, u16, u32, utf8 } from "./text.ts";
import {
  EDIT_KINDS,
  failureTurn,
  MAX_MESSAGE,
  TURN_KINDS,
  type VerdictText,
  verdictTurn,
  waitingTurn,
} from "./turn-text.ts";
import { bodyText, bytes, FrameError, f64, frame, type Reader } from "./wire.ts";

export const TO_CORDON = {
  /** digest, then the artifact. */
  load: 1,
  /** id is the instance; GuestConfig as JSON. */
  configure: 2,
  /** id is the instance. */
  release: 3,
  call: 4,
  hostReply: 5,
  /** The call will not be resumed. Yields no TURN. */
  abandon: 6,
  /** id is the call; the instance is brought up without calling a hook. */
  prepare: 7,
  /** digest: this thread has no instance of the artifact any more, and loads it again before it has. */
  unload: 8,
} as const;

export const FROM_CORDON = {
  ready: 16,
  turn: 17,
  /** How many of this socket's frames that yield a TURN are executed next. */
  batch: 18,
} as const;

/** Fits the largest artifact and a call with both bodies. */
export const MAX_FRAME_TO_CORDON = 32 * 1024 * 1024;
/** The most that a verdict of 1 MiB, its headers and its host calls take. */
export const MAX_FRAME_FROM_CORDON = 4 * 1024 * 1024;
const MAX_BODY = MAX_FRAME_FROM_CORDON;
const MAX_HEADER_COUNT = 1000;
const MAX_HEADER_BYTES = 256 * 1024;
const MAX_HOST_CALLS = 1000;
const MAX_VARS = 64 * 1024;
const MAX_TEXT = 64 * 1024;
const UNBOUNDED = 0xffff_ffff;
const MAX_DIGEST = 200;

const PHASE_NUMBER = Object.fromEntries(PHASES.map((phase, i) => [phase, i])) as Record<Phase, number>;

// ---- data thread → cordon -------------------------------------------------------------------------------

export function loadFrame(digest: string, artifact: Uint8Array): string {
  return frame(
    0,
    TO_CORDON.load,
    latin1(digest) +
      Buffer.from(artifact.buffer, artifact.byteOffset, artifact.byteLength).toString("latin1"),
  );
}

export function readLoad(payload: Reader): { digest: string; artifact: Uint8Array } {
  return { digest: payload.latin1(MAX_DIGEST), artifact: payload.rest() };
}

export function unloadFrame(digest: string): string {
  return frame(0, TO_CORDON.unload, latin1(digest));
}

export function readUnload(payload: Reader): string {
  const digest = payload.latin1(MAX_DIGEST);
  payload.end();
  return digest;
}

export function configureFrame(instance: number, config: GuestConfig): string {
  return frame(instance, TO_CORDON.configure, json(config));
}

export function readConfigure(payload: Reader): GuestConfig {
  const config = payload.json(UNBOUNDED) as GuestConfig;
  payload.end();
  return config;
}

export function releaseFrame(instance: number): string {
  return frame(instance, TO_CORDON.release, "");
}

export function prepareFrame(call: number, instance: number, now: number): string {
  return frame(call, TO_CORDON.prepare, u32(instance) + f64(now));
}

export function readPrepare(payload: Reader): { instance: number; now: number } {
  const asked = { instance: payload.u32(), now: payload.f64() };
  payload.end();
  return asked;
}

export function abandonFrame(call: number): string {
  return frame(call, TO_CORDON.abandon, "");
}

/** Hot: once for each hook call of a guest. the guest cases of `bench/cases.ts` watch it. */
export function callFrame(call: number, instance: number, guest: GuestCall): string {
  const { request, response, chunk } = guest;
  let flags = 0;
  let rest = "";
  if (request.upstreamPath !== null) {
    flags |= 1;
    rest += latin1(request.upstreamPath);
  }
  if (request.uriCaptures !== null) {
    flags |= 2;
    rest += json(request.uriCaptures);
  }
  if (request.body !== null) {
    flags |= 4;
    rest += bytes(request.body);
  }
  if (response !== null) {
    flags |= 8;
    rest += u16(response.status) + u8(SOURCES.indexOf(response.source)) + headerBlock(response.headers);
    if (response.body !== null) {
      flags |= 16;
      rest += bytes(response.body);
    }
  }
  if (chunk !== null) {
    flags |= chunk.last ? 32 | 64 : 32;
    rest += bytes(chunk.data);
  }
  if (guest.route !== null) {
    flags |= 128;
    rest += constantJson(guest.route);
  }
  if (guest.service !== null) {
    flags |= 256;
    rest += constantJson(guest.service);
  }
  if (guest.consumer !== null) {
    flags |= 512;
    rest += json(guest.consumer);
  }
  if (guest.credential !== null) {
    flags |= 1024;
    rest += json(guest.credential);
  }
  for (const _ in guest.vars) {
    flags |= 2048;
    rest += json(guest.vars);
    break;
  }
  if (guest.phase === "log") {
    flags |= 4096;
    const { requestBytes, responseBytes, totalMs, upstreamMs, gatewayMs } = guest.measures;
    rest += f64(requestBytes) + f64(responseBytes) + f64(totalMs) + f64(upstreamMs) + f64(gatewayMs);
  }
  return frame(
    call,
    TO_CORDON.call,
    u32(instance) +
      f64(guest.now) +
      u8(PHASE_NUMBER[guest.phase]) +
      u16(flags) +
      latin1(guest.requestId) +
      utf8(guest.workspace) +
      latin1(request.method) +
      latin1(request.scheme) +
      latin1(request.host) +
      u16(request.port) +
      latin1(request.path) +
      latin1(request.query) +
      latin1(request.clientIp) +
      u16(request.clientPort) +
      f64(request.startedAt) +
      headerBlock(request.headers) +
      rest,
  );
}

/** With their length in front, so that a guest that reads no header need not look for their end. */
function headerBlock(pairs: readonly (readonly [string, string])[]): string {
  return latin1(headerPairs(pairs));
}

const NO_MEASURES = { requestBytes: 0, responseBytes: 0, totalMs: -1, upstreamMs: -1, gatewayMs: -1 };

/** What follows the instance's number: a call as plain data. */
export function readCall(payload: Reader): GuestCall {
  const text = readCallText(payload.restText());
  return {
    ...shown(text),
    workspace: text.workspace,
    route: parsed(text.routeJson),
    service: parsed(text.serviceJson),
    credential: parsed(text.credentialJson),
    measures: text.measures ?? NO_MEASURES,
  };
}

/** The same for a guest in WebAssembly: what it is not told is not even parsed. */
export function readShown(payload: Reader): ShownCall {
  return shown(readCallText(payload.restText()));
}

function shown({ request, response, chunk, ...call }: CallText): ShownCall {
  return {
    phase: call.phase,
    requestId: call.requestId,
    now: call.now,
    request: {
      ...request,
      headers: request.headers.entries(),
      uriCaptures: parsed(request.uriCaptures),
      body: bodyBytes(request.body),
    },
    response: response && {
      ...response,
      headers: response.headers.entries(),
      body: bodyBytes(response.body),
    },
    chunk: chunk === null ? null : { data: Buffer.from(chunk, "latin1"), last: call.last },
    consumer: parsed(call.consumerJson),
    vars: parsed(call.varsJson) ?? {},
  };
}

function bodyBytes(text: string | null): Uint8Array | null {
  return text === null ? null : Buffer.from(text, "latin1");
}

export type HostResult = { value: unknown } | { error: string };

export function hostReplyFrame(call: number, seq: number, result: HostResult): string {
  return frame(call, TO_CORDON.hostReply, u32(seq) + json(result));
}

export function readHostReply(payload: Reader): { seq: number; result: HostResult } {
  const seq = payload.u32();
  const result = payload.json(UNBOUNDED) as HostResult;
  payload.end();
  return { seq, result };
}

// ---- cordon → data thread -------------------------------------------------------------------------------

export function readyFrame(): string {
  return frame(0, FROM_CORDON.ready, "");
}

export function batchFrame(count: number): string {
  return frame(0, FROM_CORDON.batch, u16(count));
}

export function readBatch(payload: Reader): number {
  const count = payload.u16();
  payload.end();
  return count;
}

/** Hot: once for each turn. */
export function turnFrame(call: number, turn: EngineTurn): string {
  const { cpuMicros, fuel, memoryBytes } = turn.usage;
  return frame(call, FROM_CORDON.turn, f64(cpuMicros) + f64(fuel) + f64(memoryBytes) + textOf(turn));
}

function textOf(turn: EngineTurn): string {
  if (turn.kind === "written") return turn.text;
  if (turn.kind === "failure") return failureTurn(turn.failure, turn.message, turn.hostCalls);
  if (turn.kind === "waiting") return waitingTurn(turn.hostCalls);
  return verdictTurn(verdictText(turn.verdict), turn.hostCalls);
}

function verdictText({ request, response, chunk, reply, vars, authenticated }: Verdict): VerdictText {
  return {
    request: request && { ...request, body: request.body && bodyText(request.body) },
    response: response && { ...response, body: response.body && bodyText(response.body) },
    chunk: chunk && bodyText(chunk),
    reply: reply && { ...reply, body: bodyText(reply.body) },
    vars,
    authenticated,
  };
}

/** One turn as a cordon wrote it. Throws FrameError for whatever breaks the format or a bound. */
export function readTurn(payload: Reader): Turn {
  const usage: Usage = {
    cpuMicros: payload.quantity(),
    fuel: payload.quantity(),
    memoryBytes: payload.quantity(),
  };
  const kind = TURN_KINDS[payload.u8()];
  const count = payload.u16();
  if (count > MAX_HOST_CALLS) throw new FrameError(`${count} host calls in one turn`);
  const hostCalls: HostCall[] = [];
  let parts = MAX_ARGUMENTS_PARTS;
  for (let i = 0; i < count; i++) {
    const seq = payload.u32();
    const waits = flag(payload.u8(), 1) === 1;
    const method = payload.latin1(64);
    parts -= payload.peekParts();
    if (parts < 0) throw new FrameError("arguments of host calls in too many parts");
    const args = payload.json(MAX_ARGUMENTS_BYTES);
    if (!Array.isArray(args)) throw new FrameError("arguments of a host call are no list");
    hostCalls.push({ seq, method, args, waits });
  }
  let turn: Turn;
  if (kind === "verdict") turn = { kind, verdict: readVerdict(payload), hostCalls, usage };
  else if (kind === "waiting") turn = { kind, hostCalls, usage };
  else if (kind === "failure") {
    const failure = FAILURES[payload.u8()];
    if (failure === undefined || GATEWAYS_OWN.has(failure))
      throw new FrameError("a kind of failure that no guest has");
    turn = { kind, failure, message: payload.utf8(MAX_MESSAGE * 4), hostCalls, usage };
  } else throw new FrameError("an unknown kind of turn");
  payload.end();
  return turn;
}

/** Bits that have no meaning are a violation, not an extension. */
function flag(value: number, known: number): number {
  if ((value & ~known) !== 0) throw new FrameError("an unknown flag");
  return value;
}

function readVerdict(payload: Reader): Verdict {
  const flags = flag(payload.u8(), 63);
  const verdict: Verdict = {};
  if (flags & 1) {
    const which = flag(payload.u8(), 7);
    const request: RequestEdit = {};
    if (which & 1) request.method = payload.latin1(MAX_TEXT);
    if (which & 2) request.path = payload.latin1(MAX_TEXT);
    if (which & 4) request.query = payload.latin1(MAX_TEXT);
    readEdit(payload, request);
    verdict.request = request;
  }
  if (flags & 2) {
    const response: ResponseEdit = {};
    const status = payload.u16();
    if (status !== 0) response.status = status;
    readEdit(payload, response);
    verdict.response = response;
  }
  if (flags & 4) verdict.chunk = payload.bytes(MAX_BODY);
  if (flags & 8) {
    const status = payload.u16();
    const headers = payload.headerPairs(MAX_HEADER_COUNT, MAX_HEADER_BYTES);
    verdict.reply = { status, headers, body: payload.bytes(MAX_BODY) };
  }
  if (flags & 16) {
    const vars = payload.json(MAX_VARS);
    if (typeof vars !== "object" || vars === null || Array.isArray(vars))
      throw new FrameError("vars are no object");
    verdict.vars = vars as Record<string, unknown>;
  }
  if (flags & 32) {
    const present = flag(payload.u8(), 3);
    const consumer = payload.utf8(MAX_TEXT);
    const credential = payload.utf8(MAX_TEXT);
    verdict.authenticated = {
      consumer: present & 1 ? consumer : null,
      credential: present & 2 ? credential : null,
    };
  }
  return verdict;
}

function readEdit(payload: Reader, edit: RequestEdit | ResponseEdit): void {
  const count = payload.u16();
  if (count > MAX_HEADER_COUNT) throw new FrameError(`${count} header edits`);
  if (count > 0) {
    const headers: HeaderEdit[] = [];
    let left = MAX_HEADER_BYTES;
    for (let i = 0; i < count; i++) {
      const kind = EDIT_KINDS[payload.u8()];
      if (kind === undefined) throw new FrameError("an unknown header edit");
      const name = payload.latin1(left);
      left -= name.length;
      if (kind === "remove") {
        headers.push([kind, name]);
        continue;
      }
      const value = payload.latin1(left);
      left -= value.length;
      headers.push([kind, name, value]);
    }
    edit.headers = headers;
  }
  if (flag(payload.u8(), 1) === 1) edit.body = payload.bytes(MAX_BODY);
}
