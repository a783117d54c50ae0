/**
 * One contract for every runtime: the same acts of a plugin, natively, in an isolate and in WebAssembly, have the
 * same effect on a request, and ask the gateway for the same.
 *
 * Guests run in real cordons. What a runtime cannot do is named in ABSENT, with the reason.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import type { Context, Hooks, PluginDefinition, Reply } from "@gatehouse/sdk";
import { DEFAULT_FORGE_LIMITS } from "../../src/sandbox/forge/limits.ts";
import { USER_FUNCTIONS } from "../../src/sandbox/wasm/abi.ts";
import { buildGuest } from "../../wasm-plugins/build.ts";
import { MemoryContext, type RequestParts } from "../sandbox/context.ts";
import {
  bundleGuest,
  type GuestParts,
  PATIENT,
  place,
  RecordingHost,
  type Sandbox,
  settings,
  startSandbox,
} from "../sandbox/sandbox.ts";
import { forged } from "../sandbox/wasm/guests.ts";
import contract from "./guests/contract-typescript.ts";

type PhaseName = NonNullable<GuestParts["phases"]>[number];
type RuntimeName = "native" | "isolate" | "extism";
/** Each with the layer of the SDK that its guest is written with. */
const SUBJECTS: readonly (readonly [title: string, runtime: RuntimeName, guest: string])[] = [
  ["natively", "native", "contract-typescript"],
  ["in isolate", "isolate", "contract-typescript"],
  ["in extism, AssemblyScript", "extism", "contract-assembly"],
  ["in extism, Go", "extism", "contract-go"],
  ["in extism, Rust", "extism", "contract-rust"],
];
const HERE = dirname(fileURLToPath(import.meta.url));
/** Beside the example guests, so that only what changed is compiled. */
const BUILT = join(HERE, "../../wasm-plugins/build/contracts");

/** What a call of a hook has left behind. */
interface Effect {
  reply?: { status: number; headers: [string, string][]; body: string };
  /** Bodies and chunks that were set or returned, as text. */
  body?: string;
  status?: number;
  headers?: [string, string][];
  request?: unknown;
  vars?: unknown;
  asked?: unknown[];
}

interface Case {
  what: string;
  act: string;
  word?: string;
  phase: PhaseName;
  request?: RequestParts;
  guest?: GuestParts;
  effect: Effect;
}

const EDITED: RequestParts["headers"] = [
  ["Host", "a"],
  ["X-Set", "old"],
  ["X-Set", "older"],
  ["X-Add", "1"],
  ["X-Gone", "x"],
];
const AFTER_EDIT: [string, string][] = [
  ["Host", "a"],
  ["X-Add", "1"],
  ["X-Set", "new"],
  ["X-Add", "2"],
];

const CASES: Case[] = [
  {
    what: "headers, method, path and query of a request are edited, in order",
    act: "request",
    phase: "access",
    request: { headers: EDITED },
    effect: {
      headers: AFTER_EDIT,
      request: { method: "PUT", upstreamPath: "/new%20path", query: "a=1&b=%20" },
    },
  },
  {
    what: "a request's body is replaced",
    act: "body",
    phase: "access",
    request: { body: Buffer.from("old") },
    guest: { grants: { requestBodyBytes: 100 } },
    effect: { body: "grüße" },
  },
  {
    what: "a request's body is read",
    act: "echo",
    phase: "access",
    request: { body: Buffer.from("wörds and \u0000") },
    guest: { grants: { requestBodyBytes: 100 } },
    effect: { reply: { status: 200, headers: [], body: "wörds and \u0000" } },
  },
  {
    what: "a request without a body has none",
    act: "echo",
    phase: "access",
    guest: { grants: { requestBodyBytes: 100 } },
    effect: { reply: { status: 200, headers: [], body: "none" } },
  },
  {
    what: "a reply has its status, headers and every byte of its body",
    act: "reply",
    phase: "access",
    effect: { reply: { status: 418, headers: [["x-why", "because"]], body: "\u0000\ufffd" } },
  },
  {
    what: "the config is what was configured",
    act: "config",
    word: 'quotes " \\ and ü',
    phase: "access",
    effect: { reply: { status: 200, headers: [], body: '{"act":"config","word":"quotes \\" \\\\ and ü"}' } },
  },
  {
    what: "headers that are granted are seen",
    act: "headers",
    phase: "access",
    request: {
      headers: [
        ["Host", "a"],
        ["X-One", "1"],
        ["X-One", "2"],
      ],
    },
    guest: { grants: { requestHeaders: ["*"] } },
    effect: { reply: { status: 200, headers: [], body: "Host,a,X-One,1,X-One,2" } },
  },
  {
    what: "headers that are not granted are not seen",
    act: "headers",
    phase: "access",
    request: {
      headers: [
        ["Cookie", "secret"],
        ["X-One", "1"],
        ["X-Two", "2"],
      ],
    },
    guest: { grants: { requestHeaders: ["x-two"] } },
    effect: { reply: { status: 200, headers: [], body: "X-Two,2" } },
  },
  {
    what: "the consumer is seen with its grant",
    act: "consumer",
    phase: "access",
    guest: { grants: { consumer: true } },
    effect: { reply: { status: 200, headers: [], body: "ünal" } },
  },
  {
    what: "the consumer is not seen without its grant",
    act: "consumer",
    phase: "access",
    effect: { reply: { status: 200, headers: [], body: "nobody" } },
  },
  {
    what: "vars are read, set and removed",
    act: "vars",
    word: "ü",
    phase: "rewrite",
    request: { vars: { old: "was", kept: [1] } },
    effect: { vars: { kept: [1], seen: { word: "ü", old: "was" } } },
  },
  {
    what: "status and headers of a response are edited, in order",
    act: "response",
    phase: "header_filter",
    request: { response: { status: 200, headers: EDITED } },
    effect: { status: 201, headers: AFTER_EDIT },
  },
  {
    what: "a whole response is replaced",
    act: "whole",
    phase: "response",
    request: { response: { status: 200, headers: [], body: Buffer.from("a body") } },
    guest: { grants: { responseBodyBytes: 100 } },
    effect: { status: 202, body: "another body" },
  },
  {
    what: "a chunk that is left alone goes on as it is, and the last one is replaced",
    act: "chunks",
    phase: "body_filter",
    guest: { grants: { responseBodyBytes: 100 } },
    effect: { body: "first end" },
  },
  {
    what: "a line is logged and a metric counted",
    act: "log",
    word: "wörd",
    phase: "access",
    guest: { grants: { log: true, metrics: true } },
    effect: {
      asked: [
        ["log", "info", "wörd"],
        ["count", "contract_total", { word: "wörd" }, 2],
      ],
    },
  },
  {
    what: "a line is logged in the log phase",
    act: "log",
    phase: "log",
    guest: { grants: { log: true } },
    effect: { asked: [["log", "warn", "in log"]] },
  },
  {
    what: "lines and metrics without their grants go nowhere",
    act: "log",
    phase: "access",
    effect: { asked: [] },
  },
  {
    what: "a value is kept, read and deleted",
    act: "kv",
    word: "four",
    phase: "access",
    guest: { grants: { kvBytes: 1000 } },
    effect: {
      reply: { status: 200, headers: [], body: "none four none" },
      asked: [
        ["kv.get", "key"],
        ["kv.set", "key", 4, 60_000],
        ["kv.get", "key"],
        ["kv.delete", "key"],
        ["kv.get", "key"],
      ],
    },
  },
  {
    what: "a secret is read, and one that is not there is none",
    act: "secret",
    phase: "access",
    guest: { grants: { secrets: ["TOKEN", "NONE"] } },
    effect: { reply: { status: 200, headers: [], body: "s3cret none" } },
  },
  {
    what: "a request is made and its answer read",
    act: "fetch",
    word: "wörd",
    phase: "access",
    guest: { grants: { httpHosts: ["api.test"] } },
    effect: {
      reply: { status: 200, headers: [], body: "201 https://api.test/x wörd" },
      asked: [["fetch", "POST", "https://api.test/x", [["X-Sent", "1"]]]],
    },
  },
];

/** What a runtime does not have and why, and by which name it would have it. */
const ABSENT: [runtime: RuntimeName, what: string, name: string, why: string][] = [
  ["native", "headers that are not granted are not seen", "grants", "it is the operator's own code"],
  ["native", "the consumer is not seen without its grant", "grants", "it is the operator's own code"],
  ["native", "lines and metrics without their grants go nowhere", "grants", "it is the operator's own code"],
  ["native", "a failure is passed over with fail: open", "fail", "it has no manifest"],
  ["native", "per-request: nothing is kept from call to call", "instance", "it has no manifest"],
  ["extism", "a consumer is found", "find_consumer", "who authenticates is an isolate guest"],
  ["extism", "a credential is found", "find_credential", "who authenticates is an isolate guest"],
  ["extism", "windows are counted", "take_from_windows", "who limits rates is an isolate guest"],
  ["extism", "a metric is observed", "metric_observe", "histograms are an isolate guest's"],
];

/** Names of what a runtime offers a plugin beside its hooks. */
const OFFERED: Record<RuntimeName, readonly string[]> = {
  native: Object.keys(contract),
  isolate: [],
  extism: USER_FUNCTIONS,
};

function isAbsent(runtime: RuntimeName, what: string): boolean {
  return ABSENT.some(([name, absent]) => name === runtime && absent === what);
}

let sandbox: Sandbox;
/** What is configured for each guest. */
const artifacts = new Map<string, Uint8Array>();

before(async () => {
  const phases: PhaseName[] = ["rewrite", "access", "response", "header_filter", "body_filter", "log"];
  artifacts.set("contract-typescript", await bundleGuest(join(HERE, "guests", "contract-typescript.ts")));
  for (const [, runtime, name] of SUBJECTS) {
    if (runtime !== "extism") continue;
    const { entry } = await buildGuest(join(HERE, "guests", name), join(BUILT, name));
    artifacts.set(name, (await forged(new Uint8Array(await readFile(entry)), phases)).emitted);
  }
  sandbox = await startSandbox({ ...(await place(["isolate", "wasm"])), warm: ["isolate", "wasm"] });
});
after(() => sandbox.close());

function hooksOf(
  [, runtime, guest]: (typeof SUBJECTS)[number],
  config: { act: string; word?: string },
  phases: PhaseName[],
  host: RecordingHost,
  parts: GuestParts = {},
): Hooks {
  if (runtime === "native") return (contract as unknown as PluginDefinition).create(config as never, host);
  return sandbox.client.hooks(
    settings(artifacts.get(guest) as Uint8Array, {
      ...parts,
      runtime,
      phases,
      config,
      limits: { ...PATIENT, fuel: DEFAULT_FORGE_LIMITS.startFuel },
    }),
    host,
  );
}

async function run(hooks: Hooks, phase: PhaseName, ctx: Context): Promise<Effect> {
  if (phase === "rewrite") return replyOf(await hooks.rewrite?.(ctx));
  if (phase === "access") return replyOf(await hooks.access?.(ctx));
  if (phase === "response") return replyOf(await hooks.response?.(ctx));
  if (phase === "header_filter") await hooks.headerFilter?.(ctx);
  if (phase === "log") await hooks.log?.(ctx);
  if (phase !== "body_filter") return {};
  const chunks = [];
  for (const [chunk, last] of [
    ["first", false],
    ["second", true],
  ] as const) {
    const bytes = Buffer.from(chunk);
    chunks.push(Buffer.from((await hooks.bodyFilter?.(ctx, bytes, last)) ?? bytes).toString());
  }
  return { body: chunks.join(" ") };
}

function replyOf(result: Reply | undefined | void): Effect {
  if (result === undefined) return {};
  const own = (result.headers as [string, string][]).map(([name, value]): [string, string] => [
    name.toLowerCase(),
    value,
  ]);
  const headers = own.filter(([name]) => name.startsWith("x-"));
  return { reply: { status: result.status, headers, body: Buffer.from(result.body ?? "").toString() } };
}

/** What of the context the case looks at. */
function effectOn(ctx: MemoryContext, host: RecordingHost, phase: PhaseName, wanted: Effect): Effect {
  const effect: Effect = {};
  const isResponse = phase === "header_filter" || phase === "response";
  const { method, upstreamPath, query } = ctx.request;
  const message = isResponse ? ctx.response : ctx.request;
  if (wanted.request !== undefined) effect.request = { method, upstreamPath, query };
  if (wanted.headers !== undefined) effect.headers = message.headers.entries();
  if (wanted.status !== undefined) effect.status = ctx.response.status;
  if (wanted.vars !== undefined) effect.vars = ctx.vars;
  if (wanted.asked !== undefined) effect.asked = host.calls;
  if (wanted.body !== undefined && message.newBody !== null)
    effect.body = Buffer.from(message.newBody).toString();
  return effect;
}

for (const subject of SUBJECTS) {
  const [title, runtime] = subject;
  describe(`a plugin that runs ${title}`, () => {
    for (const { what, act, word, phase, request, guest, effect } of CASES) {
      if (isAbsent(runtime, what)) continue;
      it(what, async () => {
        const host = new RecordingHost();
        const config = word === undefined ? { act } : { act, word };
        const hooks = hooksOf(subject, config, [phase], host, guest);
        const ctx = new MemoryContext(structuredClone(request));
        if (act === "consumer") ctx.consumer = host.consumer;
        const returned = await run(hooks, phase, ctx);
        assert.deepEqual({ ...effectOn(ctx, host, phase, effect), ...returned }, effect);
        if (runtime !== "native") sandbox.client.release(hooks);
      });
    }

    it("a failure fails the request", async () => {
      const hooks = hooksOf(subject, { act: "throw" }, ["access"], new RecordingHost());
      await assert.rejects(async () => hooks.access?.(new MemoryContext()), /as it was told to/);
    });

    if (!isAbsent(runtime, "a failure is passed over with fail: open"))
      it("a failure is passed over with fail: open", async () => {
        const hooks = hooksOf(subject, { act: "throw" }, ["access"], new RecordingHost(), { fail: "open" });
        assert.equal(await hooks.access?.(new MemoryContext()), undefined);
      });

    it("resident: what an instance keeps is there in the next call", async () => {
      const hooks = hooksOf(subject, { act: "count" }, ["access"], new RecordingHost());
      const seen = [];
      for (let i = 0; i < 3; i++) seen.push((await run(hooks, "access", new MemoryContext())).reply?.body);
      assert.deepEqual(seen, ["1", "2", "3"]);
    });

    if (!isAbsent(runtime, "per-request: nothing is kept from call to call"))
      it("per-request: nothing is kept from call to call", async () => {
        const parts: GuestParts = { instance: "per-request" };
        const hooks = hooksOf(subject, { act: "count" }, ["access"], new RecordingHost(), parts);
        for (let i = 0; i < 3; i++)
          assert.equal((await run(hooks, "access", new MemoryContext())).reply?.body, "1");
      });

    for (const [owner, what, name, why] of ABSENT)
      if (owner === runtime)
        it(`does without: ${what} (${why})`, () => assert.ok(!OFFERED[runtime].includes(name)));
  });
}
