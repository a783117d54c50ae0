/** A private key that the configuration only refers to serves handshakes, on the threads that replace dead ones as well. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { bringDown, ready, startInspected } from "../gateway/inspected.ts";
import { Authority } from "../support/certificates.ts";
import { send } from "../support/client.ts";
import { startRefused } from "../support/gateway.ts";
import { shownFor } from "./client.ts";

await using authority = await Authority.create();
const pair = await authority.issue("a", ["DNS:a.test"]);
const secretsDir = await mkdtemp(join(tmpdir(), "gatehouse-secrets-"));
await mkdir(join(secretsDir, "default"));
await writeFile(join(secretsDir, "default", "tls-key"), pair.key, { mode: 0o600 });

const config = (key: string) => ({
  _format_version: "3.0",
  vaults: [{ prefix: "files", name: "file", config: { prefix: "tls-" } }],
  certificates: [{ cert: pair.cert, key, snis: ["a.test"] }],
});

test("a key in a file of secrets serves handshakes, and is nowhere to be read", async () => {
  try {
    await using gateway = await startInspected(config("{vault://files/key}"), {
      secrets_dir: secretsDir,
      proxy_listen: "127.0.0.1:0, 127.0.0.1:0 ssl",
      data_threads: "1",
    });
    assert.equal(await shownFor(gateway.ports.proxy_ssl, "a.test"), "a");
    await bringDown(gateway, 0, "exit");
    await ready(gateway);
    assert.equal(await shownFor(gateway.ports.proxy_ssl, "a.test"), "a");
    const listed = await send(`${gateway.adminUrl}/certificates`);
    const exported = await send(`${gateway.adminUrl}/config`);
    for (const { body } of [listed, exported]) {
      assert.match(String(body), /\{vault:\/\/files\/key\}/);
      assert.doesNotMatch(String(body), /PRIVATE KEY/);
    }
    assert.doesNotMatch(gateway.output() + JSON.stringify(gateway.logs), /PRIVATE KEY/);
    assert.doesNotMatch(await readFile(gateway.configFile, "utf8"), /PRIVATE KEY/);
  } finally {
    await rm(secretsDir, { recursive: true });
  }
});

test("a gateway whose file refers to what is not there does not start, and says which field", async () => {
  const { code, output } = await startRefused({ config: config("{vault://env/no-such-key}") });
  assert.notEqual(code, 0);
  assert.match(
    output,
    /kong\.json:\d+:\d+ certificate key: \{vault:\/\/env\/no-such-key\} leads nowhere: the gateway's environment has no NO_SUCH_KEY/,
  );
});
