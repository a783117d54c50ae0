/**
 * What hostile guests meet beyond their one failed request (which test/attacks/guests is about): failures that
 * are passed over, a flood of them, suspension, and the end of a gateway amid a storm.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type Answer, send } from "../support/client.ts";
import { type ConfigFile, type Gateway, type LogLine, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { ATTACK, type HostileGuest, KILLER, OPEN_GUESTS, THROWER } from "./hostile-guests.ts";
import { Load } from "./load.ts";
import { exampleGuest, packExample, publish } from "./packages.ts";
import { descendants, type ProcessEntry, processEntry } from "./processes.ts";

const ATTACKS_EACH = 3;
// Where the tests do not run as root there is no fence, and tenants have to be named.
const SETTINGS = {
  data_threads: "2",
  unfenced_uploads: "acme,globex",
  // The neighbour never stops: after so many requests its connection would be closed as any other is.
  max_requests_per_connection: "0",
};

/** acme has a route for each hostile guest; globex, the neighbour, greets. */
function tenants(origin: Origin, guests: readonly { name: string }[], greeting: object[]): ConfigFile {
  const service = (routes: object[]) => [{ name: "origin", url: origin.url, routes }];
  const routes = guests.map(({ name }) => ({
    name,
    hosts: ["acme.test"],
    paths: [`/${name}`],
    plugins: [{ name: `${name}@1.0.0` }],
  }));
  return {
    _format_version: "3.0",
    workspaces: [
      { name: "acme", hosts: ["acme.test"], services: service(routes) },
      {
        name: "globex",
        hosts: ["globex.test"],
        // Its clients never stop, which uses up any budget.
        plugin_limits: { cpu_ms_per_second: 0 },
        services: service([{ name: "globex", hosts: ["globex.test"], paths: ["/"], plugins: greeting }]),
      },
    ],
  };
}

const GREETING = [{ name: "ts-hello@1.0.0", config: { name: "Globex" } }];

function acme(
  gateway: Gateway,
  name: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<Answer> {
  return send(`${gateway.url}/${name}`, {
    headers: { host: "acme.test", accept: "application/json", ...headers },
  });
}

function neighbour(gateway: Gateway): Load {
  return new Load({ url: `${gateway.url}/`, clients: 2, headers: { host: "globex.test" } });
}

async function assertUnharmed(load: Load): Promise<void> {
  await load.stop();
  assert.deepEqual(load.errors, []);
  assert.deepEqual(
    load.outcomes.filter(({ status }) => status !== 200),
    [],
  );
  assert.equal(load.connections, 2, "no connection was closed under the neighbour");
}

/** How often a plugin of acme has failed, by kind, as /metrics tells. */
async function failuresOf(gateway: Gateway, plugin: string): Promise<Record<string, number>> {
  const { body } = await send(`${gateway.statusUrl}/metrics`);
  const found: Record<string, number> = {};
  for (const [, labels = "", value] of body.matchAll(/^gatehouse_plugin_failures_total\{(.*)\} (\d+)$/gm)) {
    const label = (name: string) => new RegExp(`(?:^|,)${name}="([^"]*)"`).exec(labels)?.[1];
    if (label("workspace") === "acme" && label("plugin") === plugin)
      found[label("kind") as string] = Number(value);
  }
  return found;
}

/** The first line about this plugin's failure, of one of these kinds. */
function failureLine(gateway: Gateway, { name, kinds }: HostileGuest): Promise<LogLine> {
  return gateway.log(
    (line) =>
      line.msg === "a plugin failed" &&
      line.plugin === name &&
      (kinds as readonly unknown[]).includes(line.kind),
  );
}

function assertErrorAnswer(answer: Answer, status: number, message: string): void {
  assert.equal(answer.status, status, answer.body);
  assert.match(String(answer.header("content-type")), /^application\/json/);
  const requestId = answer.header("x-kong-request-id");
  assert.match(String(requestId), /^[0-9a-f]{32}$/);
  assert.deepEqual(answer.json(), { message, request_id: requestId });
}

const everything = [THROWER, KILLER, ...OPEN_GUESTS];
/** Given up in reverse order, also when the beginning fails half-way. */
const held = new AsyncDisposableStack();
let origin: Origin;
let gateway: Gateway;

before(async () => {
  await exampleGuest("ts-hello");
  origin = held.use(await startOrigin());
  gateway = held.use(await startGateway({ config: tenants(origin, [], []), settings: SETTINGS }));
  for (const guest of everything) await publish(gateway, await guest.pack(), "acme");
  await publish(gateway, await packExample("ts-hello"), "globex");
  await gateway.reload(tenants(origin, everything, GREETING));
});

after(() => held.disposeAsync());

for (const guest of OPEN_GUESTS)
  test(`${guest.title} lets the request through, and is counted and named`, async () => {
    for (let i = 0; i < ATTACKS_EACH; i++)
      assert.equal((await acme(gateway, guest.name, ATTACK)).status, 200);
    const failures = Object.entries(await failuresOf(gateway, guest.name));
    assert.ok(failures.every(([kind]) => (guest.kinds as readonly string[]).includes(kind)));
    assert.equal(
      failures.reduce((sum, [, count]) => sum + count, 0),
      ATTACKS_EACH,
    );
    assert.equal((await failureLine(gateway, guest)).fail, "open");
  });

test("a guest that fails in a flood fills no log: one line at once, and the rest is a number", async () => {
  const lines = () => gateway.logs.filter(({ plugin, kind }) => plugin === "js-throw" && kind === "throw");
  const before = lines().length;
  await Promise.all(Array.from({ length: 300 }, () => acme(gateway, "js-throw", ATTACK)));
  const found = await failuresOf(gateway, "js-throw");
  assert.ok((found.throw ?? 0) >= 300, "every failure is counted");
  // On each of the two threads: a first line, and a summary for each ten seconds that this took.
  assert.ok(lines().length - before <= 8, `${lines().length - before} lines`);
});

test("a guest that keeps killing its process is suspended, alone, and works again afterwards", async () => {
  await using load = neighbour(gateway);
  let answer = await acme(gateway, KILLER.name, ATTACK);
  for (let i = 1; answer.status === 500 && i < 20; i++) answer = await acme(gateway, KILLER.name, ATTACK);
  assertErrorAnswer(answer, 503, "A plugin of this route is unavailable");
  const line = await gateway.log(
    ({ msg, plugin }) => /suspended/.test(String(msg)) && plugin === KILLER.name,
  );
  assert.equal(line.workspace, "acme");
  assert.equal((await acme(gateway, "js-throw")).status, 200, "its neighbours in the same process are not");
  assert.ok(((await failuresOf(gateway, KILLER.name)).suspended ?? 0) >= 1);
  const { held_back_plugins: heldBack } = (await send(`${gateway.statusUrl}/status`)).json() as {
    held_back_plugins: { workspace: string; plugin: string; own_cordon: boolean }[];
  };
  assert.deepEqual(
    heldBack.map(({ workspace, plugin, own_cordon }) => [workspace, plugin, own_cordon]),
    [["acme", KILLER.name, true]],
  );
  const until = Date.parse(String(line.until));
  while (Date.now() < until) await delay(until - Date.now());
  assert.equal((await acme(gateway, KILLER.name)).status, 200);
  await assertUnharmed(load);
  assert.equal(
    (await send(gateway.url, { headers: { host: "globex.test" } })).header("x-hello"),
    "Hello, Globex",
  );
});

for (const signal of ["SIGTERM", "SIGKILL"] as const)
  test(`no process is left when a gateway ends by ${signal} after a storm of uploads and kills`, async () => {
    const guests = [OPEN_GUESTS[0] as HostileGuest, OPEN_GUESTS[2] as HostileGuest];
    await using gateway = await startGateway({ config: tenants(origin, [], []), settings: SETTINGS });
    for (const guest of guests) await publish(gateway, await guest.pack(), "acme");
    await publish(gateway, await packExample("ts-hello"), "globex");
    await gateway.reload(tenants(origin, guests, GREETING));
    await using load = neighbour(gateway);
    const seen = new Map<string, ProcessEntry>();
    const look = () => {
      const now = descendants(gateway.pid);
      for (const entry of now) seen.set(`${entry.pid} ${entry.startedAt}`, entry);
      return now;
    };
    for (let round = 0; round < 8; round++) {
      const uploads = packExample("path-guard", { manifest: { version: `1.0.${round}` } }).then((bytes) =>
        publish(gateway, bytes, "acme"),
      );
      const calls = guests.map(({ name }) => acme(gateway, name));
      await load.proceed(4);
      const { cordons } = (await send(`${gateway.statusUrl}/status`)).json() as {
        cordons: { pid: number | null }[];
      };
      look();
      for (const { pid } of cordons) if (pid !== null) kill(pid);
      await uploads;
      for (const call of calls) assert.equal((await call).status, 200, "its failures are passed over");
    }
    await assertUnharmed(load);
    await gone(() => look().filter(({ state }) => state === "Z"));
    assert.ok(seen.size >= 8, `only ${seen.size} processes were seen`);
    await gateway.stop(signal);
    const survivors = () =>
      [...seen.values()].filter(({ pid, startedAt }) => processEntry(pid)?.startedAt === startedAt);
    if (signal === "SIGTERM") assert.deepEqual(survivors(), []);
    else await gone(survivors);
  });

/** Kills a cordon, which may have ended by itself meanwhile. */
function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Waits for the kernel to be done with processes; fails with those that stay. */
async function gone(list: () => ProcessEntry[]): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (list().length > 0 && Date.now() < deadline) await delay(20);
  assert.deepEqual(list(), []);
}
