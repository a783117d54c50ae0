/** The wire between a data thread and a cordon: what goes in comes out, and nothing else is believed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parsed, readCallText } from "../../../src/sandbox/protocol/call-text.ts";
import { FAILURES, GATEWAYS_OWN, type GuestCall, type Turn } from "../../../src/sandbox/protocol/engine.ts";
import {
  batchFrame,
  callFrame,
  FROM_CORDON,
  loadFrame,
  MAX_FRAME_FROM_CORDON,
  readCall,
  readLoad,
  readTurn,
  TO_CORDON,
  turnFrame,
} from "../../../src/sandbox/protocol/frames.ts";
import { FrameError, FrameSplitter, frame, type Reader } from "../../../src/sandbox/protocol/wire.ts";

interface Got {
  id: number;
  type: number;
  value: unknown;
}

/** Feeds `wire` in pieces of these sizes and reads every frame with `read`. */
function receive(
  wire: Buffer,
  read: (payload: Reader, type: number) => unknown,
  sizes: number[] = [],
): Got[] {
  const got: Got[] = [];
  const splitter = new FrameSplitter(MAX_FRAME_FROM_CORDON, (id, type, payload) =>
    got.push({ id, type, value: read(payload, type) }),
  );
  let at = 0;
  for (const size of sizes) {
    splitter.push(Buffer.from(wire.subarray(at, at + size)));
    at += size;
    if (at >= wire.length) break;
  }
  if (at < wire.length) splitter.push(Buffer.from(wire.subarray(at)));
  return got;
}

const latin1 = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((c) => String.fromCharCode(c)),
  maxLength: 40,
});
const anyText = fc.string({ unit: "grapheme", maxLength: 20 });
const body = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
const pairs = fc.array(fc.tuple(latin1, latin1), { maxLength: 5 });
const count = fc.nat({ max: 2 ** 31 });
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });

/** Leaves out what is undefined, as a reader does. */
function bare<T>(value: T): T {
  return Object.fromEntries(Object.entries(value as object).filter(([, one]) => one !== undefined)) as T;
}

const edits = fc.array(
  fc.oneof(
    fc.tuple(fc.constantFrom("set" as const, "add" as const), latin1, latin1),
    fc.tuple(fc.constant("remove" as const), latin1),
  ),
  { minLength: 1, maxLength: 4 },
);
const usage = fc.record({ cpuMicros: count, fuel: count, memoryBytes: count });
const hostCalls = fc.array(
  fc.record({
    seq: count,
    method: fc.constantFrom("log", "findConsumer"),
    args: fc.array(fc.oneof(anyText, fc.integer(), fc.constant(null)), { maxLength: 3 }),
    waits: fc.boolean(),
  }),
  { maxLength: 3 },
);
const verdict = fc
  .record({
    request: optional(
      fc
        .record({
          method: optional(latin1),
          path: optional(latin1),
          query: optional(latin1),
          headers: optional(edits),
          body: optional(body),
        })
        .map(bare),
    ),
    response: optional(
      fc
        .record({
          status: optional(fc.integer({ min: 100, max: 599 })),
          headers: optional(edits),
          body: optional(body),
        })
        .map(bare),
    ),
    chunk: optional(body),
    reply: optional(fc.record({ status: fc.integer({ min: 0, max: 65535 }), headers: pairs, body })),
    vars: optional(fc.constant({ a: [1, "ü"], b: null })),
    authenticated: optional(fc.record({ consumer: fc.option(anyText), credential: fc.option(anyText) })),
  })
  .map(bare);
const turn: fc.Arbitrary<Turn> = fc.oneof(
  fc.record({ kind: fc.constant("verdict" as const), verdict, hostCalls, usage }),
  fc.record({ kind: fc.constant("waiting" as const), hostCalls, usage }),
  fc.record({
    kind: fc.constant("failure" as const),
    failure: fc.constantFrom("timeout" as const, "violation" as const),
    message: anyText,
    hostCalls,
    usage,
  }),
) as fc.Arbitrary<Turn>;

/** Bodies come back as plain byte arrays, whatever they were. */
function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
}

test("turns come out as they went in, however the bytes are cut", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat({ max: 2 ** 32 - 1 }), turn), { maxLength: 4 }),
      fc.array(fc.integer({ min: 1, max: 50 }), { maxLength: 200 }),
      (turns, sizes) => {
        const wire = Buffer.from(turns.map(([id, one]) => turnFrame(id, one)).join(""), "latin1");
        const got = receive(wire, readTurn, sizes);
        assert.deepEqual(
          got.map(({ id, value }) => [id, plain(value)]),
          turns.map(([id, one]) => [id, plain(one)]),
        );
      },
    ),
    { numRuns: 300 },
  );
});

const call: GuestCall = {
  phase: "log",
  requestId: "0123",
  now: 1_700_000_000_000.5,
  workspace: "zürich",
  request: {
    method: "GET",
    scheme: "https",
    host: "a.test",
    port: 443,
    path: "/caf\u00e9",
    upstreamPath: "/x",
    query: "q=1",
    clientIp: "::1",
    clientPort: 65535,
    startedAt: 5,
    uriCaptures: { "0": "ü" },
    headers: [
      ["A", "\u00ff"],
      ["B", ""],
    ],
    body: Buffer.from([0, 255, 10]),
  },
  response: { status: 204, source: "exit", headers: [["C", "d"]], body: Buffer.from("r") },
  chunk: { data: Buffer.from("chunk"), last: true },
  route: { id: "r", name: "名" },
  service: { id: "s", name: null, host: "h" },
  consumer: { id: "c", username: null, custom_id: "ü" },
  credential: { id: "k" },
  vars: { a: { b: [1] } },
  measures: { requestBytes: 1, responseBytes: 2, totalMs: 3.5, upstreamMs: -1, gatewayMs: 0.25 },
};

test("a call comes out as it went in, full and empty, whatever came before it", () => {
  const empty: GuestCall = {
    ...call,
    phase: "access",
    request: { ...call.request, upstreamPath: null, uriCaptures: null, headers: [], body: null },
    response: null,
    chunk: null,
    route: null,
    service: null,
    consumer: null,
    credential: null,
    vars: {},
    measures: { requestBytes: 0, responseBytes: 0, totalMs: -1, upstreamMs: -1, gatewayMs: -1 },
  };
  const fields = [0, 1, 254, 255, 256, 70_000].map((length): [string, string] => ["n".repeat(length), "v"]);
  const elsewhere: GuestCall = {
    ...call,
    request: { ...call.request, headers: fields },
    route: { id: "another", name: null },
    service: { id: "another", name: "s", host: "elsewhere" },
  };
  for (const one of [call, elsewhere, call, empty]) {
    const wire = Buffer.from(callFrame(7, 9, one), "latin1");
    const [got] = receive(wire, (payload) => ({ instance: payload.u32(), call: readCall(payload) }));
    assert.equal(got?.type, TO_CORDON.call);
    assert.deepEqual(plain(got?.value), plain({ instance: 9, call: one }));
  }
});

test("the runtime inside an isolate reads a call as the cordon would", () => {
  const wire = Buffer.from(callFrame(7, 9, call), "latin1");
  const [got] = receive(wire, (payload) => [payload.u32(), payload.peekF64(), payload.restText()]);
  assert.ok(got);
  const [instance, now, text] = got.value as [number, number, string];
  assert.equal(instance, 9);
  assert.equal(now, call.now);
  const read = readCallText(text);
  const { request, response } = call;
  const latin1 = (body: Uint8Array | null | undefined) => body && Buffer.from(body).toString("latin1");
  assert.deepEqual(
    {
      ...read.request,
      headers: read.request.headers.entries(),
      uriCaptures: parsed(read.request.uriCaptures),
    },
    { ...request, body: latin1(request.body) },
  );
  assert.deepEqual(
    { ...read.response, headers: read.response?.headers.entries() },
    { ...response, body: latin1(response?.body) },
  );
  assert.equal(read.chunk, latin1(call.chunk?.data));
  assert.equal(read.last, call.chunk?.last);
  const { phase, requestId, workspace, measures } = read;
  assert.deepEqual(
    { phase, requestId, workspace, measures },
    {
      phase: call.phase,
      requestId: call.requestId,
      workspace: call.workspace,
      measures: call.phase === "log" ? call.measures : null,
    },
  );
  for (const name of ["route", "service", "consumer", "credential", "vars"] as const)
    assert.deepEqual(parsed(read[`${name}Json`]), call[name]);
});

test("an artifact crosses byte for byte", () => {
  const artifact = Buffer.from(Array.from({ length: 70_000 }, (_, i) => (i * 7) & 255));
  const [got] = receive(Buffer.from(loadFrame("sha256:x", artifact), "latin1"), readLoad, [1, 3, 5, 60_000]);
  assert.deepEqual(plain(got?.value), plain({ digest: "sha256:x", artifact }));
});

test("whatever a cordon writes is read as a turn or refused, and nothing else happens", () => {
  fc.assert(
    fc.property(
      turn,
      fc.array(fc.tuple(fc.nat({ max: 5000 }), fc.nat({ max: 255 })), { minLength: 1, maxLength: 6 }),
      fc.nat({ max: 40 }),
      (one, changes, cut) => {
        const wire = Buffer.from(turnFrame(1, one), "latin1");
        for (const [at, value] of changes) wire[4 + (at % (wire.length - 4))] = value;
        wire.writeUInt32BE(wire.length - 4 - Math.min(cut, wire.length - 9), 0);
        try {
          receive(wire.subarray(0, wire.length - Math.min(cut, wire.length - 9)), readTurn);
        } catch (error) {
          assert.ok(error instanceof FrameError, String(error));
        }
      },
    ),
    { numRuns: 3000 },
  );
});

const zeros = (n: number) => "\0".repeat(n);
const head = `\x00${zeros(24)}`;
const REFUSED: [string, string][] = [
  ["a frame that is longer than allowed", "\xff\xff\xff\xff"],
  ["a frame that is shorter than its own head", "\0\0\0\x04\0\0\0\0"],
  ["an unknown kind of turn", frame(1, FROM_CORDON.turn, `\x03${zeros(26)}`)],
  ...[...GATEWAYS_OWN].map((failure): [string, string] => [
    `the failure '${failure}', which the gateway alone can know,`,
    frame(
      1,
      FROM_CORDON.turn,
      `\x02${zeros(26)}${String.fromCharCode(FAILURES.indexOf(failure))}${zeros(4)}`,
    ),
  ]),
  ["65,535 host calls", frame(1, FROM_CORDON.turn, `${head}\xff\xff`)],
  [
    "lists in lists, however many, for arguments of host calls",
    frame(
      1,
      FROM_CORDON.turn,
      `\x01${zeros(24)}\0\x04${`${zeros(5)}\0\0\0\x03log\0\x01\0\0[${"[],".repeat(21_844)}0] `.repeat(4)}`,
    ),
  ],
  ["bytes after the turn", frame(1, FROM_CORDON.turn, `${head}\0\0\0x`)],
  ["a verdict with an unknown part", frame(1, FROM_CORDON.turn, `${head}\0\0\x40`)],
  ["a body that is longer than the frame", frame(1, FROM_CORDON.turn, `${head}\0\0\x04\x00\x00\xff\xffx`)],
  ["a negative count of CPU time", frame(1, FROM_CORDON.turn, `\xbf\xf0${zeros(6)}${zeros(16)}\0\0\0\0`)],
  ["header edits without end", frame(1, FROM_CORDON.turn, `${head}\0\0\x02\0\0\xff\xff`)],
  ["vars that are no object", frame(1, FROM_CORDON.turn, `${head}\0\0\x10\0\0\0\x02[]`)],
  ["vars that are no JSON", frame(1, FROM_CORDON.turn, `${head}\0\0\x10\0\0\0\x02{x`)],
];
for (const [what, wire] of REFUSED)
  test(`${what} is refused`, () => {
    assert.throws(() => receive(Buffer.from(wire, "latin1"), readTurn), FrameError);
  });

test("a batch mark is two bytes", () => {
  const [got] = receive(Buffer.from(batchFrame(513), "latin1"), (payload) => payload.u16());
  assert.deepEqual(got, { id: 0, type: FROM_CORDON.batch, value: 513 });
});
