/** Roll-outs on a gateway under load: who meets which version, and what becomes of a version that does harm. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { publish } from "../gateway/packages.ts";
import { SteadyLoad } from "../gateway/steady-load.ts";
import { type Answer, send } from "../support/client.ts";
import { type Gateway, type LogLine, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { packRounds, packVersion } from "./guests.ts";

/** Versions that do harm, with the reason that is told of it. */
const HARMFUL = [
  ["4.0.0", "throws", `throw new Error("no")`, /^errors: /],
  ["4.0.1", "breaks the contract", `ctx.request.headers.set("connection", "x")`, /^violations: /],
  ["4.0.2", "answers with errors", `return reply(503, {})`, /^errors: .* of its requests are answered/],
  ["4.0.3", "is slow", `let n = 0; for (let i = 0; i < 2e6; i++) n += i % 7; ctx.vars.n = n`, /^latency: /],
] as const;
/** By what a version that does no harm is judged on a busy machine. */
const PATIENT = { min_calls: 20, max_error_rate: 0.2, max_latency_ratio: 1000, max_fuel_ratio: 1000 };

const held = new AsyncDisposableStack();
let origin: Origin;
let gateway: Gateway;

interface Json {
  readonly [field: string]: unknown;
}

async function ask(method: string, path: string, body?: object): Promise<{ status: number; data: Json }> {
  const answer = await send(`${gateway.adminUrl}/plugin-packages/${path}`, {
    method,
    headers: { ...gateway.adminHeaders, "content-type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, data: answer.json() as Json };
}

async function deploy(plugin: string, body: object): Promise<Json> {
  const { status, data } = await ask("POST", `${plugin}/rollouts`, body);
  assert.equal(status, 201, JSON.stringify(data));
  return data;
}

/** What a client and the upstream saw of the plugin: the same version, or a word about it. */
function version(answer: Answer): string {
  const [client, upstream] = [answer.header("x-version"), answer.body];
  return client === upstream ? String(client) : `${upstream} in access, ${client} in the answer`;
}

const asked = async (path: string, headers: Record<string, string> = {}): Promise<string> =>
  version(await send(`${gateway.url}/${path}`, { headers }));

async function seen(path: string, times = 60): Promise<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const each of await Promise.all(Array.from({ length: times }, () => asked(path))))
    counts[each] = (counts[each] ?? 0) + 1;
  return counts;
}

/** What ends by itself is written down first, and then put in force on every thread. */
async function comesToMean(path: string, version: string): Promise<void> {
  while ((await seen(path, 20))[version] !== 20);
}

/** Does something under load, and tells what became of the requests. */
async function underLoad(path: string, clients: number, work: () => Promise<unknown>): Promise<string[]> {
  const load = new SteadyLoad(`${gateway.url}/${path}`, clients);
  try {
    await work();
  } finally {
    await load.stop();
  }
  return Object.keys(load.counts).sort();
}

before(async () => {
  origin = held.use(
    await startOrigin(
      (_received, response, request) => void response.end(request.headers["x-access"] ?? "none"),
    ),
  );
  gateway = held.use(
    await startGateway({ config: { _format_version: "3.0" }, settings: { data_threads: "2" } }),
  );
  await publish(gateway, await packVersion({ version: "1.0.0" }));
  // It differs in everything that a chain is made of.
  await publish(
    gateway,
    await packVersion({ version: "2.0.0", phases: ["access", "response"], priority: 2000 }),
  );
  await publish(gateway, await packVersion({ version: "3.0.0" }));
  for (const [version, , harm] of HARMFUL) await publish(gateway, await packVersion({ version, harm }));
  await publish(gateway, await packRounds("rounds", "1.0.0", 100));
  await publish(gateway, await packRounds("rounds", "2.0.0", 10_000));
  const names = ["stamp", "rounds"];
  for (const name of names) assert.equal((await deploy(name, { version: "1.0.0" })).state, "promoted");
  const routes = names.map((name) => ({ name, paths: [`/${name}`], plugins: [{ name: `${name}@stable` }] }));
  const pinned = { name: "pinned", paths: ["/pinned"], plugins: [{ name: "stamp@1.0.0" }] };
  await gateway.reload({
    _format_version: "3.0",
    services: [{ name: "s", url: origin.url, routes: [...routes, pinned] }],
  });
});
after(() => held.disposeAsync());

describe("a roll-out", () => {
  test("by a header: whoever sends it meets the new version in all phases, nobody else does", async () => {
    const header = { name: "X-Try", value: "new" };
    const { state, id } = await deploy("stamp", { version: "2.0.0", header });
    assert.equal(state, "running");
    assert.deepEqual(await seen("stamp", 20), { "1.0.0": 20 });
    for (let i = 0; i < 10; i++) assert.equal(await asked("stamp", { "x-try": "new" }), "2.0.0");
    assert.equal(await asked("stamp", { "x-try": "old" }), "1.0.0");
    assert.equal(await asked("pinned", { "x-try": "new" }), "1.0.0");
    const explained = await send(`${gateway.adminUrl}/explain`, {
      method: "POST",
      headers: { ...gateway.adminHeaders, "content-type": "application/json" },
      body: JSON.stringify({ method: "GET", url: "http://x/stamp" }),
    });
    const { phases } = explained.json() as { phases: { plugins: { version: string; canary: object }[] }[] };
    const [met] = phases[0]?.plugins ?? [];
    assert.deepEqual(
      [met?.version, met?.canary],
      [
        "1.0.0",
        {
          ...{ version: "2.0.0", priority: 2000, phases: ["access", "response"] },
          header: { name: "x-try", value: "new" },
        },
      ],
    );
    const { data } = await ask("POST", "stamp/rollback", { why: "tried enough" });
    assert.deepEqual([data.id, data.state, data.why], [id, "rolled_back", "tried enough"]);
    assert.equal(await asked("stamp", { "x-try": "new" }), "1.0.0");
  });

  test("by weight: a part of the requests meets it, as many as the weight says when it moves", async () => {
    const { id } = await deploy("stamp", { version: "2.0.0", weight: 0.5 });
    const half = await seen("stamp", 100);
    assert.deepEqual(Object.keys(half).sort(), ["1.0.0", "2.0.0"]);
    assert.equal((await ask("PATCH", `stamp/rollouts/${id}`, { weight: 1 })).status, 200);
    assert.deepEqual(await seen("stamp", 20), { "2.0.0": 20 });
    assert.deepEqual(await seen("pinned", 20), { "1.0.0": 20 });
    assert.equal((await ask("PATCH", `stamp/rollouts/${id}`, { weight: 0 })).status, 400);
    assert.equal((await ask("POST", "stamp/promote")).data.state, "promoted");
    assert.deepEqual(await seen("stamp", 20), { "2.0.0": 20 });
    const back = await ask("POST", "stamp/rollback");
    assert.deepEqual([back.data.state, back.data.from, back.data.version], ["rolled_back", "1.0.0", "2.0.0"]);
    assert.deepEqual(await seen("stamp", 20), { "1.0.0": 20 });
  });

  test("versions are swapped under load: no request is dropped, and each meets one version in all its phases", async () => {
    const outcomes = await underLoad("stamp", 8, async () => {
      for (let round = 0; round < 3; round++) {
        await deploy("stamp", { version: "2.0.0", weight: 0.5 });
        await seen("stamp", 20);
        await ask("POST", "stamp/promote");
        await ask("POST", "stamp/rollback");
        await deploy("stamp", { version: "3.0.0" });
        await seen("stamp", 20);
        await ask("POST", "stamp/rollback");
      }
    });
    assert.deepEqual(outcomes, ["200 1.0.0 1.0.0", "200 2.0.0 2.0.0", "200 3.0.0 3.0.0"]);
    assert.deepEqual(await seen("stamp", 20), { "1.0.0": 20 });
  });

  test("one that does well for its window is promoted by itself", async () => {
    const watch = { ...PATIENT, window_seconds: 1 };
    const { id } = await deploy("stamp", { version: "3.0.0", weight: 0.5, watch });
    const outcomes = await underLoad("stamp", 4, () =>
      gateway.log((line) => line.rollout === id && /moved to another version/.test(String(line.msg))),
    );
    assert.deepEqual(outcomes, ["200 1.0.0 1.0.0", "200 3.0.0 3.0.0"]);
    const { data } = await ask("GET", `stamp/rollouts/${id}`);
    assert.equal(data.state, "promoted");
    assert.match(String(data.why), /calls within 1 s, and nothing worse than before/);
    assert.ok((data.figures as { canary: { calls: number } }).canary.calls >= 20);
    await comesToMean("stamp", "3.0.0");
    await ask("POST", "stamp/rollback");
  });

  const isEnd = (id: unknown) => (line: LogLine) =>
    line.rollout === id && /rolled back/.test(String(line.msg));

  for (const [version, title, , reason] of HARMFUL)
    test(`a version that ${title} goes by itself, and the reason is told`, async () => {
      const watch = {
        ...PATIENT,
        window_seconds: 600,
        ...(title === "is slow" ? { max_latency_ratio: 3 } : {}),
      };
      const { id } = await deploy("stamp", { version, weight: 0.5, watch });
      await underLoad("stamp", 2, () => gateway.log(isEnd(id)));
      const { data } = await ask("GET", `stamp/rollouts/${id}`);
      assert.equal(data.state, "rolled_back");
      assert.match(String(data.why), reason);
      await comesToMean("stamp", "1.0.0");
    });

  test("a version that uses more fuel goes by itself, and the reason is told", async () => {
    const watch = { ...PATIENT, window_seconds: 600, max_fuel_ratio: 3 };
    const { id } = await deploy("rounds", { version: "2.0.0", weight: 0.5, watch });
    await underLoad("rounds", 2, () => gateway.log(isEnd(id)));
    assert.match(String((await ask("GET", `rounds/rollouts/${id}`)).data.why), /^fuel: /);
  });

  test("a version that all requests get at once is watched all the same", async () => {
    const watch = { ...PATIENT, window_seconds: 600 };
    const { id } = await deploy("stamp", { version: "4.0.0", watch });
    await underLoad("stamp", 1, () => gateway.log(isEnd(id)));
    await comesToMean("stamp", "1.0.0");
  });
});
