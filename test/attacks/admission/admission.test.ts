/** Hostile packages, uploaded to a running gateway: refused in words, nothing kept, and the next upload works. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { packExample, upload } from "../../gateway/packages.ts";
import { type Answer, send } from "../../support/client.ts";
import { type Gateway, startGateway } from "../../support/gateway.ts";
import { ADMISSION_ATTACKS } from "./attacks.ts";

const EMPTY = { _format_version: "3.0" };

describe("a hostile package", () => {
  let gateway: Gateway;
  before(async () => {
    gateway = await startGateway({ config: EMPTY });
  });
  after(() => gateway[Symbol.asyncDispose]());

  for (const { name, aim, make, reason } of ADMISSION_ATTACKS) {
    it(`(${aim}) ${name} ${reason === null ? "ends in an answer" : "is refused in words, and nothing of it is kept"}`, async (t) => {
      const pid = gateway.pid;
      const before = await kept(gateway);
      const answer = await upload(gateway, await make());
      if (reason === null && answer.status === 201) {
        t.diagnostic("admitted: it is sound, and its limits hold");
        await remove(gateway, answer);
      } else {
        assert.equal(answer.status, 400, answer.body);
        const { message } = answer.json() as { message: string };
        assert.match(message, reason ?? /./);
        t.diagnostic(message.replace(/^schema violation \((.*)\)$/s, "$1"));
        assert.ok(message.length < 20_000, "a person reads it");
      }
      assert.deepEqual(await kept(gateway), before);
      assert.equal(gateway.pid, pid);
    });
  }

  it("of a hundred megabytes is refused by its head, before it is sent", async () => {
    const before = await kept(gateway);
    const headers = { "content-type": "application/gzip", "content-length": 100 << 20 };
    const outgoing = request(`${gateway.adminUrl}/plugin-packages`, { method: "POST", headers });
    outgoing.write(Buffer.alloc(16 << 10, 1));
    const [answer] = (await once(outgoing, "response")) as [IncomingMessage];
    assert.equal(answer.statusCode, 413);
    outgoing.once("error", () => {}).destroy();
    assert.deepEqual(await kept(gateway), before);
  });

  it("is forgotten: a good one is admitted after all of them", async () => {
    const answer = await upload(gateway, await packExample("header-stamp"));
    assert.equal(answer.status, 201, answer.body);
    await remove(gateway, answer);
  });
});

describe("an artifact that was swapped after its admission", () => {
  it("is not loaded: the gateway says which, and takes no configuration that uses it", async () => {
    await using gateway = await startGateway({ config: EMPTY });
    const { status, body } = await upload(gateway, await packExample("header-stamp"));
    assert.equal(status, 201, body);
    const folder = join(gateway.prefix, "artifacts", "sha256");
    for (const name of await readdir(folder)) {
      const path = join(folder, name);
      const bytes = await readFile(path);
      // The same length and still a module: only its digest tells.
      bytes[bytes.length - 2] = (bytes[bytes.length - 2] as number) ^ 1;
      await writeFile(path, bytes);
    }
    const used = { ...EMPTY, plugins: [{ name: "header-stamp@1.0.0" }] };
    await assert.rejects(gateway.reload(used), /answered 500/);
    await gateway.log(({ error }) =>
      /holds other bytes than were admitted; it is not loaded/.test(String(error)),
    );
  });
});

/** Every artifact that the registry has on the disk, and what it lists. */
async function kept(gateway: Gateway): Promise<unknown> {
  const names = await readdir(join(gateway.prefix, "artifacts", "sha256"));
  const listed = await send(`${gateway.adminUrl}/plugin-packages`);
  return { names: names.sort(), data: (listed.json() as { data: unknown[] }).data };
}

async function remove(gateway: Gateway, answer: Answer): Promise<void> {
  const { id } = answer.json() as { id: string };
  const { status } = await send(`${gateway.adminUrl}/plugin-packages/${id}`, { method: "DELETE" });
  assert.equal(status, 204);
}
