/** Without the operating system's fence a tenant's code does not run, however it came to be stored. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { send } from "../support/client.ts";
import { type ConfigFile, startGateway, startRefused } from "../support/gateway.ts";
import { exampleGuest, packExample, publish } from "./packages.ts";

/** A launcher that fences nothing: the gateway finds out. */
const UNFENCED = { cordon_launcher: "/usr/bin/env" };
const NAMED = { unfenced_uploads: "acme", ...UNFENCED };

const hello = { name: "ts-hello@1.0.0", config: { name: "Ada" } };

function configWith(acme: readonly object[], own: readonly object[] = []): ConfigFile {
  const service = (plugins: readonly object[], hosts: string[]) => [
    { name: "s", url: "http://127.0.0.1:1", routes: [{ name: "r", hosts, paths: ["/"], plugins }] },
  ];
  return {
    _format_version: "3.0",
    services: service(own, ["own.test"]),
    workspaces: [{ name: "acme", hosts: ["acme.test"], services: service(acme, ["acme.test"]) }],
  };
}

before(() => exampleGuest("ts-hello"));

test("a package that a tenant stored while it might is refused at start and at reload once it may not", async () => {
  await using first = await startGateway({ config: configWith([]), settings: NAMED });
  await publish(first, await packExample("ts-hello"), "acme");
  await first.reload(configWith([hello]));
  await first.stop();
  const settings = { prefix: first.prefix, ...UNFENCED };
  const refused = await startRefused({ config: configWith([hello]), settings });
  assert.equal(refused.code, 1);
  assert.match(refused.output, /ts-hello@1\.0\.0.*workspace 'acme'.*fence.*unfenced_uploads/);
  assert.doesNotMatch(refused.output, /\n {4}at /);

  await using second = await startGateway({ config: configWith([]), settings });
  for (const config of [configWith([hello]), configWith([], [{ ...hello, name: "acme/ts-hello@1.0.0" }])])
    await assert.rejects(second.reload(config), /answered 400 .*ts-hello@1\.0\.0.*unfenced_uploads/);
  const { fence } = (await send(`${second.statusUrl}/status`)).json() as { fence: Record<string, unknown> };
  assert.deepEqual(Object.keys(fence), ["in_force", "by", "why", "means", "missing"]);
  assert.deepEqual([fence.in_force, fence.by], [false, "nothing"]);
  assert.match(String(fence.why), /by cordon_launcher: .*it reaches/);
  await publish(second, await packExample("ts-hello"));
  await second.reload(configWith([], [hello]));
  const answer = await send(second.url, { headers: { host: "own.test" } });
  assert.equal(answer.header("x-hello"), "Hello, Ada", "the operator's own packages run");
  await second.stop();

  await using third = await startGateway({
    config: configWith([hello]),
    settings: { ...settings, ...NAMED },
  });
  assert.equal(
    (await send(third.url, { headers: { host: "acme.test" } })).header("x-hello"),
    "Hello, Ada",
    "and those of tenants whom the operator names",
  );
});
