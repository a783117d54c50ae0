/**
 * The Extism contract, with a second opinion: every example guest runs through this project's own kernel and
 * through @extism/extism, with the same config and input, and both must give the same answer.
 *
 * The library's host runs the module as its author built it; ours runs what the forge emitted. So equal answers
 * also show that metering changes nothing that a guest can observe.
 */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import createPlugin, { type Plugin } from "@extism/extism";
import type { Phase } from "@gatehouse/sdk";
import type { GuestCall } from "../../src/sandbox/protocol/engine.ts";
import { parseOutput, renderInput } from "../../src/sandbox/wasm/exchange.ts";
import { createWasmEngine } from "../../src/sandbox/wasm/wasm-engine.ts";
import { buildGuests } from "../../wasm-plugins/build.ts";
import { answering, assemble, configure, hookCall, LIMITS, startNow } from "../sandbox/wasm/guests.ts";

interface Case {
  guest: string;
  phases: Phase[];
  config: Record<string, unknown>;
  calls: [what: string, call: GuestCall][];
}

function request(phase: Phase, edit: Partial<GuestCall["request"]>): GuestCall {
  const call = hookCall(phase);
  return { ...call, request: { ...call.request, ...edit } };
}

const MANY_HEADERS = Array.from({ length: 60 }, (_, i): [string, string] => [`X-Header-${i}`, "v".repeat(i)]);

const BODY = Buffer.from("what was signed");
const SIGNATURE = `sha256=${createHmac("sha256", "a secret of both").update(BODY).digest("hex")}`;
const bearer = (claims: object): string =>
  `Bearer x.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.y`;

const graphql = (query: string): GuestCall =>
  request("access", {
    method: "POST",
    headers: [["Content-Type", "application/json"]],
    body: Buffer.from(JSON.stringify({ query })),
  });

const CASES: Case[] = [
  {
    guest: "header-stamp",
    phases: ["access", "header_filter"],
    config: { request_header: "X-Stamp", value: 'quotes " and \\ and ü', response_header: "X-Request-Id" },
    calls: [
      ["a plain request", hookCall("access")],
      ["a request with many headers", request("access", { headers: MANY_HEADERS })],
      ["a response", hookCall("header_filter")],
    ],
  },
  {
    guest: "header-stamp",
    phases: ["access"],
    config: {},
    calls: [["a config without what it needs", hookCall("access")]],
  },
  {
    guest: "path-guard",
    phases: ["access"],
    config: { deny: ["/admin", "/internal/", '/we"ird', "/ümlaut"] },
    calls: [
      ["a path below a prefix", request("access", { path: "/admin/users" })],
      ["the prefix itself", request("access", { path: "/admin" })],
      ["a path that only begins alike", request("access", { path: "/administrator" })],
      ["a prefix that ends in a slash", request("access", { path: "/internal/x" })],
      ["a path with a quote", request("access", { path: '/we"ird/x' })],
      ["a path beyond ASCII", request("access", { path: "/ümlaut/\u0001" })],
      ["the root", request("access", { path: "/" })],
      ["an empty path", request("access", { path: "" })],
      ["a decoy in a header", request("access", { path: "/", headers: [["X", '"path":"/admin"']] })],
    ],
  },
  {
    guest: "graphql-depth",
    phases: ["access"],
    config: { max_depth: 2, max_fields: 10, max_operations: 1 },
    calls: [
      ["a query that is deep enough", graphql("{ a { b } }")],
      ["one that is deeper", graphql("{ ü: a { ...f } } fragment f on T { b { c } }")],
      ["one that does not parse", graphql("{")],
    ],
  },
  {
    guest: "claims-to-headers",
    phases: ["access"],
    config: { claims: { sub: "X-User-Id", roles: "X-Roles" } },
    calls: [
      ["no token", hookCall("access")],
      ["a token", request("access", { headers: [["Authorization", bearer({ sub: "ada", roles: ["a"] })]] })],
      ["claims that fit no header", request("access", { headers: [["Authorization", bearer({ sub: {} })]] })],
      ["something that is no token", request("access", { headers: [["Authorization", "Bearer a.b.c"]] })],
    ],
  },
  {
    guest: "request-signature",
    phases: ["access"],
    config: { secret: "a secret of both", prefix: "sha256=" },
    calls: [
      ["no signature", hookCall("access")],
      ["a wrong one", request("access", { headers: [["X-Signature-256", "sha256=00"]], body: BODY })],
      ["the right one", request("access", { headers: [["X-Signature-256", SIGNATURE]], body: BODY })],
    ],
  },
  {
    guest: "ip-allow-list",
    phases: ["access"],
    config: {
      allow: ["192.0.2.0/24"],
      deny: [],
      countries: [],
      country_header: "cf-ipcountry",
      status: 403,
    },
    calls: [
      ["an address on the list", request("access", { clientIp: "192.0.2.1" })],
      ["one that is not", request("access", { clientIp: "192.0.3.1" })],
      ["what is no address", request("access", { clientIp: "nowhere" })],
    ],
  },
  {
    guest: "security-headers",
    phases: ["header_filter"],
    config: { hsts_max_age: 60, frame_options: "DENY", referrer_policy: 'a "quote"\u0001' },
    calls: [["a response", hookCall("header_filter")]],
  },
  {
    guest: "answering",
    phases: ["access"],
    config: {},
    calls: [["a guest in WebAssembly text", hookCall("access")]],
  },
  {
    guest: "silent",
    phases: ["access"],
    config: {},
    calls: [["a guest that sets no output", hookCall("access")]],
  },
];

const artifacts = new Map<string, Uint8Array>();

before(async () => {
  for (const { name, runtime, entry } of await buildGuests())
    if (runtime === "extism") artifacts.set(name, new Uint8Array(await readFile(entry)));
  artifacts.set("answering", assemble(answering('{"vars":{"answer":42}}')));
  artifacts.set("silent", assemble('(module (func (export "access") (result i32) (i32.const 0)))'));
});

describe("an Extism guest answers the same through both hosts", () => {
  for (const { guest, phases, config, calls } of CASES) {
    describe(`${guest} with ${JSON.stringify(config)}`, () => {
      const engine = createWasmEngine();
      let library: Plugin;

      before(async () => {
        const artifact = artifacts.get(guest) as Uint8Array;
        await configure(engine, 1, artifact, { phases, config });
        const text = Object.entries(config).map(([key, value]) => [
          key,
          typeof value === "string" ? value : JSON.stringify(value),
        ]);
        library = await createPlugin(
          { wasm: [{ data: artifact }] },
          { useWasi: guest === "claims-to-headers", config: Object.fromEntries(text) },
        );
      });
      after(() => library.close());

      for (const [what, call] of calls) {
        it(what, async () => {
          const own = startNow(engine, 1, call);
          const theirs = await answerOf(library, call, JSON.stringify(config));
          if (own.kind === "verdict") assert.deepEqual(own.verdict, theirs);
          else assert.equal(theirs, null, JSON.stringify(own));
        });
      }
    });
  }

  it("covers every example guest", () => {
    const examples = [...artifacts.keys()];
    const covered = new Set(CASES.map(({ guest }) => guest));
    assert.deepEqual(
      examples.filter((name) => !covered.has(name)),
      [],
    );
  });
});

/** The library's answer, parsed by the same rules; null if the guest failed. */
async function answerOf(library: Plugin, call: GuestCall, configJson: string): Promise<unknown> {
  await library.reset(); // without it the library breaks after 16,383 calls
  let output: Uint8Array;
  try {
    const result = await library.call(call.phase, renderInput(call, configJson));
    output = result === null ? new Uint8Array(0) : result.bytes();
  } catch {
    return null;
  }
  return parseOutput(output, call.phase, LIMITS);
}
