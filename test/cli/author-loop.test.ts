/** An author's loop as it is typed: `plugin new`, `plugin test`, `plugin dev`. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { cp, mkdtemp, readdir, readFile, rm, symlink, watch, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import type { DevEvent } from "../../src/cli/dev/dev.ts";
import type { TailRequest } from "../../src/tail/events.ts";
import { send } from "../support/client.ts";
import { run } from "./run.ts";

const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

let home: string;
/** A plugin in TypeScript, fresh from its template. */
let greeter: string;

before(async () => {
  home = await mkdtemp(join(tmpdir(), "gatehouse-author-"));
  greeter = join(home, "greeter");
  const { code, err } = await run(["plugin", "new", "greeter", "--dir", greeter]);
  assert.equal(code, 0, err);
});

after(() => rm(home, { recursive: true, force: true }));

/** A copy to change. */
async function copy(name: string): Promise<string> {
  const dir = join(home, name);
  await cp(greeter, dir, { recursive: true, filter: (path) => !path.includes("node_modules") });
  await symlink(join(greeter, "node_modules"), join(dir, "node_modules"));
  return dir;
}

async function edit(dir: string, file: string, change: (text: string) => string): Promise<void> {
  const path = join(dir, file);
  const text = await readFile(path, "utf8");
  const changed = change(text);
  assert.notEqual(changed, text, `${file} is as it was`);
  await writeFile(path, changed);
}

const linesOf = (out: string): Record<string, unknown>[] =>
  out
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

describe("plugin new", () => {
  test("makes a plugin of that name, with a test, a README and the SDK where editors look for it", async () => {
    const files = (await readdir(greeter)).sort();
    assert.deepEqual(files, [
      ".gitignore",
      "README.md",
      "node_modules",
      "package.json",
      "plugin.test.ts",
      "plugin.ts",
      "plugin.yaml",
      "tsconfig.json",
    ]);
    for (const file of ["README.md", "package.json", "plugin.ts", "plugin.yaml"]) {
      const text = await readFile(join(greeter, file), "utf8");
      assert.match(text, /greeter/, file);
      assert.doesNotMatch(text, /my-plugin/, file);
    }
    assert.ok(existsSync(join(greeter, "node_modules/@gatehouse/sdk/package.json")));
  });

  for (const [what, args, reason] of [
    ["a name that no plugin may have", ["Greeter_1", "--dir", "unmade"], /is no name of a plugin/],
    ["a directory that is not empty", ["greeter"], /there and not empty/],
    [
      "a language that it does not speak",
      ["other", "--lang", "cobol"],
      /Allowed choices are ts, as, go, rust/,
    ],
  ] as const)
    test(`refuses ${what}, and makes nothing`, async () => {
      const dir = args.length > 1 ? [] : ["--dir", greeter];
      const { code, err } = await run(["plugin", "new", ...args, ...dir]);
      assert.equal(code, 1);
      assert.match(err, reason);
      assert.equal(existsSync("unmade"), false);
    });
});

describe("plugin test", () => {
  test("runs one test file natively and in the sandbox", async () => {
    const { code, out, err } = await run(["plugin", "test", greeter, "--json"]);
    assert.equal(code, 0, err + out);
    const lines = linesOf(out);
    const told = lines.filter(({ kind }) => kind === "test").map(({ runtime, ok }) => [runtime, ok]);
    assert.deepEqual(told, [
      ["native", true],
      ["native", true],
      ["sandbox", true],
      ["sandbox", true],
    ]);
    assert.deepEqual(lines.at(-1), {
      kind: "summary",
      ok: true,
      files: 1,
      runtimes: ["native", "sandbox"],
      recordings: null,
    });
  });

  test("tells what no grant allows, though natively all is well", async () => {
    const dir = await copy("ungranted");
    await edit(dir, "plugin.ts", (text) =>
      text.replace(
        'headers.set("X-Greeting", config.greeting);',
        'headers.set("X-Greeting", headers.get("x-name") ?? config.greeting);',
      ),
    );
    await edit(dir, "plugin.test.ts", (text) =>
      text
        .replace('{ url: "/orders" },', '{ url: "/orders", headers: { "X-Name": "Ahoy" } },')
        .replace('{ config: { greeting: "Ahoy" }, response', "{ response")
        .replace('response.headers.get("x-greeting"), "Ahoy"', 'response.headers.get("x-greeting"), "Hello"'),
    );
    const { code, out } = await run(["plugin", "test", dir, "--json"]);
    assert.equal(code, 1, out);
    const told = linesOf(out).filter(({ kind }) => kind === "test");
    assert.deepEqual(
      told.map(({ runtime, ok }) => [runtime, ok]),
      [
        ["native", true],
        ["native", true],
        ["sandbox", false],
        ["sandbox", true],
      ],
    );
    assert.match(String(told[2]?.error), /Hello/);
    await edit(dir, "plugin.yaml", (text) => text.replace("grants:", "grants:\n  request_headers: [x-name]"));
    assert.equal((await run(["plugin", "test", dir, "--in", "sandbox"])).code, 0);
  });

  test("tells where a source is wrong, and runs nothing", async () => {
    const dir = await copy("broken");
    await edit(dir, "plugin.ts", (text) => `${text}const x = ;\n`);
    const { code, err } = await run(["plugin", "test", dir]);
    assert.equal(code, 1);
    assert.match(err, /^plugin\.ts:\d+:11: Unexpected ";"/);
  });

  test("holds what recorded requests come to against what was written down", async () => {
    const dir = await copy("recorded");
    await rm(join(dir, "plugin.test.ts"));
    const recording = (id: string, path: string, response: object | null) => ({
      recording: 1,
      id,
      recorded_at: "2026-01-01T00:00:00.000Z",
      route: null,
      service: null,
      consumer: null,
      request: {
        method: "GET",
        scheme: "http",
        host: "shop.test",
        port: 80,
        path,
        query: "page=2",
        client_ip: "192.0.2.1",
        headers: [["Accept", "*/*"]],
        body: null,
        body_bytes: 0,
      },
      response,
    });
    const fine = { status: 200, headers: [["X-By", "shop"]], body: "b2s=", body_bytes: 2 };
    await writeFile(join(dir, "dev.yaml"), "closed: [/admin]\n");
    await writeFile(
      join(dir, "recordings.jsonl"),
      [recording("a", "/orders", fine), recording("b", "/admin", null)]
        .map((one) => JSON.stringify(one))
        .join("\n"),
    );
    const test = (...more: string[]) => run(["plugin", "test", dir, ...more]);

    const before = await test();
    assert.equal(before.code, 1);
    assert.match(before.out, /✖ recorded GET \/orders \(a\)\n {4}nothing is expected yet: --record/);
    const recorded = await test("--record");
    assert.equal(recorded.code, 0, recorded.err);
    const golden = JSON.parse(await readFile(join(dir, "recordings.golden.json"), "utf8"));
    assert.deepEqual(golden.a.response, {
      status: 200,
      headers: ["x-by: shop", "x-greeting: Hello"],
      body: "ok",
    });
    assert.deepEqual([golden.b.request, golden.b.response.status], [null, 403]);
    await edit(dir, "plugin.ts", (text) => text.replace("reply(403", "reply(404"));
    const changed = await test();
    assert.equal(changed.code, 1);
    assert.match(changed.out, /✔ recorded GET \/orders \(a\)/);
    assert.match(
      changed.out,
      /✖ recorded GET \/admin \(b\)\n {4}response\.status: expected 403, and it is 404/,
    );
  });
});

/** `plugin dev` as a program reads it. */
class Dev implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(dir: string) {
    this.#child = spawn(process.execPath, [MAIN, "plugin", "dev", dir, "--port", "0", "--json"], {
      env: { ...process.env, TMPDIR: home },
      stdio: ["ignore", "pipe", "inherit"],
    });
    this.#lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })[
      Symbol.asyncIterator
    ]();
  }

  /** The next event of that kind. */
  async next<K extends DevEvent["kind"]>(kind: K): Promise<Extract<DevEvent, { kind: K }>> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      assert.ok(!done, "it has ended");
      const event = JSON.parse(value) as DevEvent;
      if (event.kind === kind) return event as Extract<DevEvent, { kind: K }>;
      assert.notEqual(event.kind, "failed", value);
    }
  }

  async stop(signal: NodeJS.Signals = "SIGINT"): Promise<number | null> {
    this.#child.kill(signal);
    const [code] = await once(this.#child, "exit");
    return code as number | null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) await this.stop();
  }
}

/** What `plugin dev` has put into the folder for temporary files. */
const left = async () => (await readdir(home)).filter((name) => name.startsWith("gatehouse-"));

describe("plugin dev", () => {
  test("serves the plugin, tells what requests cost, and puts each save in force; a bad one changes nothing", async () => {
    const dir = await copy("developed");
    await using dev = new Dev(dir);
    const { proxy } = await dev.next("ready");
    const first = await dev.next("loaded");
    assert.deepEqual([first.plugin, first.version], ["greeter", "0.1.0-dev.1"]);
    const greeting = async () => (await send(`${proxy}/orders?page=2`)).header("x-greeting");

    const answer = await send(`${proxy}/orders?page=2`, { method: "POST", body: "two" });
    assert.equal(answer.header("x-greeting"), "Hello");
    const echoed = answer.json() as { method: string; url: string; headers: object; body: string };
    assert.deepEqual([echoed.method, echoed.url, echoed.body], ["POST", "/orders?page=2", "two"]);
    const told: TailRequest = await dev.next("request");
    assert.deepEqual([told.method, told.path, told.status], ["POST", "/orders", 200]);
    assert.deepEqual(
      told.calls.map(({ phase }) => phase),
      ["access", "header_filter"],
    );

    await edit(dir, "plugin.yaml", (text) => text.replace("default: Hello", "default: Moin"));
    assert.equal((await dev.next("loaded")).version, "0.1.0-dev.2");
    assert.equal(await greeting(), "Moin");

    await edit(dir, "plugin.ts", (text) => `${text}const x = ;\n`);
    assert.match(String((await dev.next("failed")).reasons), /^plugin\.ts:\d+:11: Unexpected ";"/);
    assert.equal(await greeting(), "Moin");
    await writeFile(join(dir, "dev.yaml"), "greeting: 7\n");
    await dev.next("failed");
    await edit(dir, "plugin.ts", (text) => text.replace("const x = ;\n", ""));
    assert.match(String((await dev.next("failed")).reasons), /greeting: expected a string/);
    assert.equal(await greeting(), "Moin");

    await writeFile(join(dir, "dev.yaml"), "greeting: Salut\n");
    await dev.next("loaded");
    assert.equal(await greeting(), "Salut");
    assert.equal(await dev.stop(), 0);
    assert.deepEqual(await left(), []);
  });

  test("leaves nothing when its terminal is closed", async () => {
    await using dev = new Dev(greeter);
    await dev.next("loaded");
    assert.equal(await dev.stop("SIGHUP"), 0);
    assert.deepEqual(await left(), []);
  });

  test("leaves nothing when it is killed: its gateway ends with it", async () => {
    await using dev = new Dev(greeter);
    const { proxy } = await dev.next("ready");
    await dev.next("loaded");
    const changes = watch(home)[Symbol.asyncIterator]();
    const gone = changes.next();
    await dev.stop("SIGKILL");
    for (await gone; (await left()).length > 0; ) await changes.next();
    await changes.return?.();
    await assert.rejects(send(`${proxy}/`), /ECONNREFUSED/);
  });

  test("ends with 3 where its port is taken, and leaves nothing", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    const { code, err } = await run(["plugin", "dev", greeter, "--port", String(port)], { TMPDIR: home });
    taken.close();
    assert.equal(code, 3, err);
    assert.match(err, /EADDRINUSE/);
    assert.deepEqual(await left(), []);
  });
});
