/**
 * The kernel's functions, with a second opinion: a guest that tells what it sees of its host runs through this
 * project's kernel and through @extism/extism, call after call, and both must show it the same and hear the same.
 *
 * What the library cannot do, or does otherwise, is named below, with what is done here.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import createPlugin, { type CallContext } from "@extism/extism";
import type { GuestCall, Turn } from "../../src/sandbox/protocol/engine.ts";
import { parseOutput, renderInput } from "../../src/sandbox/wasm/exchange.ts";
import { createWasmEngine } from "../../src/sandbox/wasm/wasm-engine.ts";
import { buildGuest } from "../../wasm-plugins/build.ts";
import { assemble, configure, hookCall, LIMITS } from "../sandbox/wasm/guests.ts";

const HERE = dirname(fileURLToPath(import.meta.url));
const CALLS = 3;

/** What a host heard of a guest in some calls: answers (null for a failure) and log lines. */
interface Heard {
  answers: unknown[];
  log: [level: string, line: string][];
  values: string[];
}

let module: Uint8Array;
before(async () => {
  const folder = mkdtempSync(join(tmpdir(), "gatehouse-kernel-"));
  after(() => rmSync(folder, { recursive: true, force: true }));
  const guest = await buildGuest(join(HERE, "guests", "kernel-assembly"), folder);
  module = new Uint8Array(await readFile(guest.entry));
});

/** A store of values behind both hosts. */
class Values {
  readonly kept = new Map<string, Uint8Array>();
  readonly asked: string[] = [];

  answer(method: string, args: readonly unknown[]): string | null {
    const [key, value] = args as [string, string];
    this.asked.push(`${method} ${key}`);
    if (method === "kvSet") this.kept.set(key, Buffer.from(value, "base64"));
    if (method === "kvDelete") this.kept.delete(key);
    if (method !== "kvGet") return null;
    const kept = this.kept.get(key);
    return kept === undefined ? null : Buffer.from(kept).toString("base64");
  }
}

async function ours(config: Record<string, unknown>, call: GuestCall): Promise<Heard> {
  const engine = createWasmEngine();
  await configure(engine, 1, module, { config, asks: ["kv"], limits: { ...LIMITS, hostCalls: 50 } });
  const values = new Values();
  const heard: Heard = { answers: [], log: [], values: values.asked };
  for (let i = 1; i <= CALLS; i++) {
    let turn: Turn = await engine.start(i, 1, call);
    for (;;) {
      for (const { method, args, waits } of turn.hostCalls)
        if (!waits) heard.log.push((method === "log" ? args : [method, args]) as [string, string]);
      const asked = turn.hostCalls.find(({ waits }) => waits);
      if (turn.kind !== "waiting" || asked === undefined) break;
      turn = await engine.resume(i, asked.seq, { value: values.answer(asked.method, asked.args) });
    }
    heard.answers.push(turn.kind === "verdict" ? turn.verdict : null);
  }
  return heard;
}

async function theirs(config: Record<string, unknown>, call: GuestCall): Promise<Heard> {
  const values = new Values();
  const heard: Heard = { answers: [], log: [], values: values.asked };
  const hear = (level: string) => (line: string) => heard.log.push([level, line]);
  const textOf = (context: CallContext, address: bigint) => context.read(address)?.text() ?? "";
  const library = await createPlugin(
    { wasm: [{ data: module }] },
    {
      config: Object.fromEntries(
        Object.entries(config)
          .filter(([, value]) => value !== null)
          .map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)]),
      ),
      logger: {
        debug: hear("debug"),
        info: hear("info"),
        warn: hear("warn"),
        error: hear("error"),
      } as unknown as Console,
      functions: {
        "extism:host/user": {
          kv_get(context: CallContext, key: bigint) {
            const value = values.answer("kvGet", [textOf(context, key)]);
            return value === null ? 0n : context.store(new Uint8Array(Buffer.from(value, "base64")));
          },
          kv_set(context: CallContext, key: bigint, value: bigint, _ttlMs: bigint) {
            const text = Buffer.from(textOf(context, value)).toString("base64");
            values.answer("kvSet", [textOf(context, key), text]);
            return 0n;
          },
          kv_delete(context: CallContext, key: bigint) {
            values.answer("kvDelete", [textOf(context, key)]);
            return 0n;
          },
        },
      },
    },
  );
  try {
    for (let i = 0; i < CALLS; i++) {
      try {
        const result = await library.call("access", renderInput(call, JSON.stringify(config)));
        const bytes = result === null ? new Uint8Array(0) : result.bytes();
        heard.answers.push(parseOutput(bytes, "access", LIMITS));
      } catch {
        heard.answers.push(null);
      }
    }
  } finally {
    await library.close();
  }
  return heard;
}

describe("a guest sees the same host, and is heard the same", () => {
  const acts: [what: string, config: Record<string, unknown>][] = [
    ["variables are kept from call to call, and go when they are deleted", { act: "variables" }],
    [
      "config values are texts, or JSON",
      {
        act: "config",
        text: 'a "text" ü',
        number: 1.5,
        flag: false,
        list: ["a", 1],
        empty: "",
        ünïcode: "yes",
      },
    ],
    ["log lines of four levels", { act: "levels" }],
    ["blocks of the host's memory", { act: "memory" }],
    ["functions of extism:host/user", { act: "values" }],
    ["the input", { act: "input" }],
    ["an error ends the call", { act: "error" }],
    ["an error ends the call whatever its result", { act: "error-only" }],
    ["a trap ends the call", { act: "trap" }],
  ];
  for (const [what, config] of acts) {
    it(what, async () => {
      const call = hookCall("access", {});
      const [own, other] = [await ours(config, call), await theirs(config, call)];
      assert.deepEqual(own, other);
      assert.equal(own.answers.length, CALLS);
    });
  }

  /** What is done here, and what the library does. */
  const different: [
    what: string,
    config: Record<string, unknown>,
    here: Partial<Heard>,
    there: Partial<Heard>,
  ][] = [
    [
      "another result than 0 fails the call here, and is not looked at by the library",
      { act: "code" },
      { answers: [null, null, null] },
      { answers: [{}, {}, {}] },
    ],
    [
      "an error that is taken back is none here, and one byte of the library's own there",
      { act: "error-taken-back" },
      { answers: [{ vars: {} }, { vars: {} }, { vars: {} }] },
      { answers: [null, null, null] },
    ],
    [
      "a request without its grant is a warning here, and an error there",
      { act: "request" },
      { log: Array(CALLS).fill(["warn", "http_request: not granted"]) },
      { log: Array(CALLS).fill(["error", "http_request is not enabled"]) },
    ],
    [
      "an empty config value is one here, and the library cannot give it",
      { act: "empty", empty: "" },
      { answers: Array(CALLS).fill({ vars: { empty: "" } }) },
      { answers: [null, null, null] },
    ],
  ];
  for (const [what, config, here, there] of different) {
    it(`but for this: ${what}`, async () => {
      const heard = [await ours(config, hookCall()), await theirs(config, hookCall())];
      for (const [i, wanted] of [here, there].entries())
        for (const [part, value] of Object.entries(wanted))
          assert.deepEqual(heard[i]?.[part as keyof Heard], value, part);
    });
  }

  it("but for this: three functions of the kernel are there here, and not in the library", async () => {
    for (const [name, type] of [
      ["log_trace", "(param i64)"],
      ["get_log_level", "(result i32)"],
      ["http_headers", "(result i64)"],
    ]) {
      const wasm = assemble(
        `(module (import "extism:host/env" "${name}" (func ${type})) (func (export "access") (result i32) (i32.const 0)))`,
      );
      const engine = createWasmEngine();
      await configure(engine, 1, wasm);
      assert.equal((await engine.start(1, 1, hookCall())).kind, "verdict");
      await assert.rejects(createPlugin({ wasm: [{ data: wasm }] }), name);
    }
  });
});
