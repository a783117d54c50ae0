/**
 * Roll-outs by the command line on a gateway that keeps its configuration: consent, refusals, and a gateway that is
 * killed in the middle.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { type Ran, run } from "../cli/run.ts";
import { publish } from "../gateway/packages.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { packVersion } from "./guests.ts";

const held = new AsyncDisposableStack();
const settings: Record<string, string> = { data_threads: "1" };
let origin: Origin;
let gateway: Gateway;

const plugin = (...args: string[]): Promise<Ran> =>
  run(["plugin", ...args, "--admin", gateway.adminUrl, "--prefix", settings.prefix as string]);

const api = (method: string, path: string, body?: object) =>
  send(`${gateway.adminUrl}${path}`, {
    method,
    headers: { "content-type": "application/json", ...gateway.adminHeaders },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });

/** The answer to what must not be refused. */
async function did(method: string, path: string, body?: object): Promise<Record<string, unknown>> {
  const answer = await api(method, path, body);
  assert.ok(answer.status < 300, answer.body);
  return answer.json() as Record<string, unknown>;
}

const STAMP = "/plugin-packages/stamp";
const HEADER = { name: "x-try", value: "yes" };
const deploy = (body: object) => did("POST", `${STAMP}/rollouts`, body);
const rollBack = (body = {}) => did("POST", `${STAMP}/rollback`, body);

async function seen(headers: Record<string, string> = {}): Promise<string[]> {
  const answers = Array.from({ length: 20 }, async () => (await send(gateway.url, { headers })).body);
  return [...new Set(await Promise.all(answers))].sort();
}

async function killed(): Promise<void> {
  await gateway.stop("SIGKILL");
  gateway = held.use(await startGateway({ config: null, settings }));
}

before(async () => {
  settings.prefix = await mkdtemp(join(tmpdir(), "gatehouse-rollout-"));
  held.defer(() => rm(settings.prefix as string, { recursive: true, force: true }));
  origin = held.use(
    await startOrigin((_received, response, request) => void response.end(request.headers["x-access"])),
  );
  gateway = held.use(await startGateway({ config: null, settings }));
  // It counts its calls, for as long as its instance lives.
  await publish(
    gateway,
    await packVersion({
      ...{ version: "1.0.0", harm: `ctx.request.headers.set("x-count", String(++calls))` },
      grants: { request_headers: ["x-access", "x-count"], response_headers: ["x-version"] },
    }),
  );
  await publish(gateway, await packVersion({ version: "1.1.0" }));
  const grants = { request_headers: ["x-access", "user-agent"], response_headers: ["x-version"] };
  await publish(gateway, await packVersion({ version: "1.2.0", grants }));
  const fields = [{ colour: { type: "string", required: true } }];
  await publish(gateway, await packVersion({ version: "1.3.0", schema: { fields } }));
  assert.equal((await deploy({ version: "1.0.0" })).state, "promoted");
  await did("POST", "/services", { name: "s", url: origin.url });
  await did("POST", "/services/s/routes", { name: "r", paths: ["/"] });
  await did("POST", "/routes/r/plugins", { name: "stamp@stable" });
  assert.deepEqual(await seen(), ["1.0.0"]);
});
after(() => held.disposeAsync());

test("a roll-out that begins and ends costs the running version's instance nothing that it keeps", async () => {
  const count = async () => {
    await send(gateway.url);
    return Number(origin.last.headers.find(([name]) => name.toLowerCase() === "x-count")?.[1]);
  };
  const before = await count();
  await deploy({ version: "1.1.0", header: HEADER });
  assert.equal(await count(), before + 1);
  assert.deepEqual(await seen({ "x-try": "yes" }), ["1.1.0"]);
  await rollBack();
  assert.equal(await count(), before + 2);
});

test("a gateway that is killed while a roll-out runs goes on with it, and with what it was told last", async () => {
  const begun = await deploy({ version: "1.1.0", header: HEADER });
  assert.deepEqual([begun.state, begun.header, begun.watch], ["running", HEADER, null]);
  assert.deepEqual([await seen(), await seen({ "x-try": "yes" })], [["1.0.0"], ["1.1.0"]]);
  await killed();
  assert.deepEqual([await seen(), await seen({ "x-try": "yes" })], [["1.0.0"], ["1.1.0"]]);
  assert.equal((await rollBack()).id, begun.id);
  await killed();
  assert.deepEqual(await seen({ "x-try": "yes" }), ["1.0.0"]);
});

test("a gateway that is killed while a roll-out is promoted has done it, or has not", async () => {
  const { id } = await deploy({ version: "1.1.0", header: HEADER });
  const promoting = api("POST", `${STAMP}/promote`).catch(() => null);
  await killed();
  await promoting;
  const { state } = await did("GET", `${STAMP}/rollouts/${id}`);
  const channel = await did("GET", `${STAMP}/channels/stable`);
  const expected = state === "promoted" ? "1.1.0" : "1.0.0";
  assert.ok(state === "running" || state === "promoted", String(state));
  assert.equal(channel.version, expected);
  assert.deepEqual(await seen(), [expected]);
  await rollBack();
  assert.deepEqual(await seen(), ["1.0.0"]);
});

test("a version that asks for more waits for consent, shows what it asks for, and runs once it has it", async () => {
  const waiting = await plugin("deploy", "stamp@1.2.0", "--canary", "x-try=yes");
  assert.match(waiting.out, /^stamp@1\.2\.0 waits for consent for requests with x-try: yes, channel stable/);
  assert.match(waiting.out, /it asks for more than was consented to: request_headers: user-agent/);
  assert.match(waiting.out, /give it: gatehouse plugin consent stamp 1\.2\.0/);
  assert.deepEqual(await seen({ "x-try": "yes" }), ["1.0.0"]);
  const early = await api("POST", `${STAMP}/promote`);
  assert.equal(early.status, 400);
  assert.match(
    early.body,
    /asks for more than was consented to \(request_headers: user-agent\); consent to it first/,
  );
  await did("POST", `${STAMP}/consent`, { version: "1.2.0" });
  await gateway.log((line) => line.to === "1.2.0" && line.msg === "a roll-out runs");
  assert.deepEqual([await seen(), await seen({ "x-try": "yes" })], [["1.0.0"], ["1.2.0"]]);
  assert.match(
    (await plugin("promote", "stamp")).out,
    /^stamp@1\.2\.0 is promoted, channel stable \(from 1\.0\.0\)/,
  );
  assert.deepEqual(await seen(), ["1.2.0"]);
  assert.match(
    (await plugin("rollback", "stamp")).out,
    /^stamp@1\.2\.0 is rolled back, channel stable \(from 1\.0\.0\)/,
  );
  assert.deepEqual(await seen(), ["1.0.0"]);
});

test("what cannot be rolled out is refused, and nothing changes", async () => {
  const canary = await plugin(
    "deploy",
    "stamp@1.1.0",
    "--canary",
    "5%",
    "--manual",
    "--min-calls",
    "7",
    "--json",
  );
  assert.equal(canary.code, 0, canary.err);
  const { id } = JSON.parse(canary.out);
  for (const [body, status, reason] of [
    [
      { version: "1.2.0" },
      409,
      /roll-out of stamp@1\.1\.0 to channel 'stable' has not ended; promote it or roll/,
    ],
    [{ version: "9.9.9", channel: "beta" }, 404, /no stamp@9\.9\.9/],
    [{ version: "1.2.0", weight: 5 }, 400, /weight: must be more than 0 and at most 1/],
    [{ version: "1.2.0", channel: "latest" }, 400, /'latest' is the highest release by itself/],
  ] as const) {
    const answer = await api("POST", `${STAMP}/rollouts`, body);
    assert.deepEqual([answer.status, reason.test(answer.body)], [status, true], answer.body);
  }
  assert.equal((await api("POST", `${STAMP}/promote`, { channel: "beta" })).status, 409);
  assert.equal((await api("POST", "/plugin-packages/other/promote", {})).status, 404);
  for (const [args, reason] of [
    [["stamp"], /^'stamp' names no version; write plugin@1\.2\.0$/m],
    [["stamp@1.2.0", "--canary", "much"], /^--canary much: write a part of all, such as 5% or 0\.05$/m],
  ] as const) {
    const { code, err } = await plugin("deploy", ...args);
    assert.equal(code, 1);
    assert.match(err, reason);
  }
  assert.match(
    (await plugin("rollouts", "stamp")).out,
    /^stamp@1\.1\.0 runs for 5 % of the requests, channel stable/,
  );
  const ended = await rollBack({ why: "enough seen" });
  assert.deepEqual([ended.id, ended.weight, (ended.watch as { min_calls: number }).min_calls], [id, 0.05, 7]);
  const unfit = await api("POST", `${STAMP}/rollouts`, { version: "1.3.0", weight: 0.05 });
  assert.equal(unfit.status, 400);
  assert.match(
    unfit.body,
    /the config of plugin entity \S+ \(workspace 'default'\) is not one of stamp@1\.3\.0.*config\.colour/s,
  );
  assert.deepEqual(await seen(), ["1.0.0"]);
});

test("a version that is yanked, and a channel that is moved by hand, end the roll-out", async () => {
  const first = await deploy({ version: "1.1.0", header: HEADER });
  await did("POST", "/plugin-packages/stamp@1.1.0/yank", { reason: "it was wrong" });
  await gateway.log(
    (line) => line.rollout === first.id && line.why === "stamp@1.1.0 was yanked: it was wrong",
  );
  await did("POST", "/plugin-packages/stamp@1.1.0/unyank", {});
  const second = await deploy({ version: "1.1.0", header: HEADER });
  await did("PUT", `${STAMP}/channels/stable`, { version: "1.1.0" });
  const end = await gateway.log((line) => line.rollout === second.id && line.why !== "");
  assert.equal(end.why, "the channel was moved to 1.1.0");
  assert.deepEqual(await seen(), ["1.1.0"]);
});

test("the audit log tells who has rolled out what, and why it ended", async () => {
  const entries = (
    (await did("GET", "/audit-log?size=1000")).data as { entity: string; after: Record<string, unknown> }[]
  ).filter(({ entity }) => entity === "rollouts");
  const whys = entries.map(({ after }) => `${after.state}: ${after.why}`);
  assert.ok(whys.includes("rolled_back: enough seen"), whys.join("\n"));
  assert.ok(whys.includes("rolled_back: stamp@1.1.0 was yanked: it was wrong"), whys.join("\n"));
});
