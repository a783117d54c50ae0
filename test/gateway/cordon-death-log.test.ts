/**
 * Guests that take their cordon with them, or lose it: the request gets the answer of the plugin's policy, and the log
 * names plugin, phase, kind and the limit that was met.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessPlugin, bundleSource } from "../sandbox/sandbox.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { packFiles, publish } from "./packages.ts";

interface Death {
  readonly name: string;
  readonly when: string;
  /** What its hook does, with `create` before it. */
  readonly code: string;
  readonly create?: string;
  readonly limits?: Readonly<Record<string, number>>;
  readonly kinds: readonly string[];
  readonly reason: RegExp;
}

const DEATHS: readonly Death[] = [
  {
    name: "loops",
    when: "in a loop",
    code: "for (;;);",
    limits: { wall_ms: 60 },
    kinds: ["deadline"],
    reason: /more than 60 ms/,
  },
  {
    name: "fills",
    when: "at the end of its memory",
    code: "const all = []; for (;;) all.push(new Array(1e5).fill(all.length));",
    limits: { memory_bytes: 8 << 20 },
    kinds: ["memory", "crashed"],
    reason: /\b8388608\b|\b8 MiB\b|memory/,
  },
  {
    name: "starts",
    when: "at its start",
    code: "",
    create: "if (config.loops) for (;;);",
    kinds: ["timeout", "load", "deadline"],
    reason: /starting it timed out after \d+ ms|more than \d+ ms/,
  },
];
const POLICIES = ["closed", "open"] as const;
const ATTACK = { "x-attack": "~" };

let gateway: Gateway;

before(async () => {
  gateway = await startGateway({
    config: { _format_version: "3.0" },
    settings: { data_threads: "1", plugin_limits_default: "cpu_ms=10000,wall_ms=60000" },
  });
  const routes: object[] = [];
  for (const death of [...DEATHS, KILLED])
    for (const fail of POLICIES) {
      const name = `${death.name}-${fail}`;
      await publish(gateway, await packed(death, name, fail));
      const config = death.create === undefined ? {} : { config: { loops: true } };
      const served = { name: "request-termination", config: { status_code: 200, message: "served" } };
      routes.push({ name, paths: [`/${name}`], plugins: [{ name: `${name}@1.0.0`, ...config }, served] });
    }
  await gateway.reload({
    _format_version: "3.0",
    services: [{ name: "nowhere", url: "http://127.0.0.1:1", routes }],
  });
});

after(() => gateway[Symbol.asyncDispose]());

/** Runs for as long as it may, which is long enough to be killed. */
const KILLED: Death = {
  name: "runs",
  when: "by a signal in the middle of a call",
  code: "for (;;);",
  kinds: ["crashed"],
  // What the fence's own process tells of it where there is one.
  reason: /: it died: (exit code \d+|.*SIGKILL)/,
};

async function packed(death: Death, name: string, fail: string): Promise<Uint8Array> {
  const manifest = {
    ...{ manifest: 1, name, version: "1.0.0", runtime: "isolate", entry: "plugin.js", phases: ["access"] },
    ...{ priority: 900, fail, limits: death.limits, grants: { request_headers: ["x-attack"] } },
    schema: { fields: [{ loops: { type: "boolean", default: false } }] },
  };
  const hook = `if (ctx.request.headers.get("x-attack") === "~") { ${death.code} }`;
  const source =
    death.create === undefined
      ? accessPlugin(hook)
      : `export default { name: "${name}", version: "1.0.0", priority: 900, schema: {},
          create(config) { ${death.create} return { access() {} }; } };`;
  return packFiles(manifest, "plugin.js", await bundleSource(source));
}

async function assertAnswered(death: Death, fail: (typeof POLICIES)[number], pending = attack(death, fail)) {
  const answer = await pending;
  const name = `${death.name}-${fail}`;
  assert.equal(answer.status, fail === "open" ? 200 : 500, answer.body);
  if (fail === "closed") {
    const id = answer.header("x-kong-request-id");
    assert.deepEqual(answer.json(), { message: "An unexpected error occurred", request_id: id });
  } else assert.deepEqual(answer.json(), { message: "served" });
  const line = await gateway.log(({ msg, plugin }) => msg === "a plugin failed" && plugin === name);
  assert.equal(line.phase, "access");
  assert.equal(line.fail, fail);
  assert.equal(line.workspace, "default");
  assert.ok(death.kinds.includes(String(line.kind)), JSON.stringify(line));
  assert.match(String(line.reason), death.reason);
  assert.equal(line.request_id, answer.header("x-kong-request-id"));
}

function attack({ name }: Death, fail: string) {
  return send(`${gateway.url}/${name}-${fail}`, { headers: ATTACK });
}

for (const fail of POLICIES) {
  for (const death of DEATHS)
    test(`a guest that ends ${death.when}, fail: ${fail}: the answer of its policy, and its name and limit in the log`, () =>
      assertAnswered(death, fail));

  test(`a guest that ends ${KILLED.when}, fail: ${fail}: the answer of its policy, and its name in the log`, async () => {
    const pending = attack(KILLED, fail);
    await assertAnswered(KILLED, fail, Promise.race([pending, killWhoRuns().then(() => pending)]));
    const line = await gateway.log(
      ({ msg, reason }) => msg === "a cordon died" && /^it died: /.test(String(reason)),
    );
    assert.equal(line.engine, "isolate");
    assert.equal(line.workspace, "default");
  });
}

/** Kills the cordon that burns: the call that it runs is the only one. */
async function killWhoRuns(): Promise<void> {
  let before = new Map<number, number>();
  for (;;) {
    const { cordons } = (await send(`${gateway.statusUrl}/status`)).json() as {
      cordons: { pid: number | null; workspace: string | null; cpuMs: number }[];
    };
    const now = new Map<number, number>();
    for (const { pid, workspace, cpuMs } of cordons) {
      if (pid === null || workspace === null) continue;
      now.set(pid, cpuMs);
      const earlier = before.get(pid);
      if (earlier === undefined || cpuMs < earlier + 100) continue;
      process.kill(pid, "SIGKILL");
      return;
    }
    if (before.size === 0 || [...now.keys()].some((pid) => !before.has(pid))) before = now;
  }
}
