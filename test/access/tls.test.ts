/** The Admin API behind TLS: its certificate, and those that it asks of clients. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { request } from "node:https";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Authority, type KeyPair } from "../support/certificates.ts";
import { type Gateway, startGateway, startRefused } from "../support/gateway.ts";

const CONFIG = {
  _format_version: "3.0",
  workspaces: [{ name: "acme", hosts: ["acme.example"] }, { name: "globex" }],
};

interface Client {
  readonly ca: string;
  readonly pair?: KeyPair;
  readonly token?: string;
}

/** @returns the status, or the error by which the connection ended. */
function ask(port: number, path: string, { ca, pair, token }: Client): Promise<number | string> {
  const { promise, resolve } = Promise.withResolvers<number | string>();
  const outgoing = request(
    {
      host: "127.0.0.1",
      port,
      path,
      ca,
      servername: "localhost",
      agent: false,
      ...pair,
      headers: token === undefined ? {} : { "kong-admin-token": token },
    },
    (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    },
  );
  outgoing.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  outgoing.end();
  return promise;
}

const fingerprintOf = ({ cert }: KeyPair) => new X509Certificate(cert).fingerprint256;

describe("an Admin API that asks for client certificates", () => {
  let authority: Authority;
  let stranger: Authority;
  let gateway: Gateway;
  let ca: string;
  let operator: KeyPair;
  let tenant: KeyPair;
  let nobody: KeyPair;
  let port: number;
  let token: string;
  before(async () => {
    authority = await Authority.create();
    stranger = await Authority.create();
    ca = readFileSync(authority.file, "utf8");
    const server = await authority.issue("admin", ["DNS:localhost", "IP:127.0.0.1"]);
    operator = await authority.issue("operator", ["DNS:operator"]);
    tenant = await authority.issue("tenant", ["DNS:tenant"]);
    nobody = await authority.issue("nobody", ["DNS:nobody"]);
    const files = { cert: join(authority.directory, "a.crt"), key: join(authority.directory, "a.key") };
    await writeFile(files.cert, server.cert);
    await writeFile(files.key, server.key);
    gateway = await startGateway({
      config: CONFIG,
      settings: {
        data_threads: "1",
        admin_listen: "127.0.0.1:0 ssl, 127.0.0.1:0",
        admin_auth: "on",
        admin_ssl_cert: files.cert,
        admin_ssl_cert_key: files.key,
        admin_client_ca: authority.file,
        admin_client_roles: `${fingerprintOf(operator)}=owner, ${fingerprintOf(tenant)}=viewer@acme`,
      },
    });
    port = gateway.ports.admin_ssl;
    token = String(gateway.adminHeaders["kong-admin-token"]);
  });
  after(async () => {
    await gateway[Symbol.asyncDispose]();
    await authority[Symbol.asyncDispose]();
    await stranger[Symbol.asyncDispose]();
  });

  test("nobody without a certificate of its authorities gets as far as a request, token or not", async () => {
    const foreign = await stranger.issue("operator", ["DNS:operator"]);
    for (const client of [{ ca }, { ca, token }, { ca, token, pair: foreign }])
      assert.equal(typeof (await ask(port, "/", client)), "string");
  });

  test("a certificate with a role does what its role may, in its workspace", async () => {
    assert.equal(await ask(port, "/config", { ca, pair: operator }), 200);
    assert.equal(await ask(port, "/acme/services", { ca, pair: tenant }), 200);
    assert.equal(await ask(port, "/globex/services", { ca, pair: tenant }), 403);
    assert.equal(await ask(port, "/services", { ca, pair: tenant }), 403);
  });

  test("one without a role is asked for a token besides", async () => {
    assert.equal(await ask(port, "/services", { ca, pair: nobody }), 401);
    assert.equal(await ask(port, "/services", { ca, pair: nobody, token }), 200);
  });

  test("a token that is wrong is not made up for by a certificate", async () => {
    assert.equal(await ask(port, "/services", { ca, pair: operator, token: "wrong" }), 401);
  });

  test("where TLS is not spoken a token is all that counts", async () => {
    const answer = await fetch(`${gateway.adminUrl}/services`);
    assert.equal(answer.status, 401);
  });
});

test("without a certificate of its own it has the self-signed one of the gateway", async () => {
  await using gateway = await startGateway({
    config: CONFIG,
    settings: { data_threads: "1", admin_listen: "127.0.0.1:0 ssl, 127.0.0.1:0" },
  });
  const ca = readFileSync(join(gateway.prefix, "ssl", "gatehouse-default.crt"), "utf8");
  assert.equal(await ask(gateway.ports.admin_ssl, "/services", { ca }), 200);
});

const WRONG: [title: string, settings: Record<string, string>, code: number, message: RegExp][] = [
  [
    "an address of the network that asks nobody who they are",
    { admin_listen: "0.0.0.0:0 ssl" },
    2,
    /can be reached from other machines, and nobody has to say who they are/,
  ],
  [
    "an address of the network without TLS",
    { admin_listen: "0.0.0.0:0", admin_auth: "on" },
    2,
    /could be read on the way; add 'ssl'/,
  ],
  [
    "authorities that are none",
    { admin_listen: "127.0.0.1:0 ssl", admin_client_ca: "/etc/hostname" },
    1,
    /admin_client_ca: \/etc\/hostname: invalid certificate/,
  ],
];
for (const [title, settings, code, message] of WRONG)
  test(`${title} is refused at the start`, async () => {
    const refused = await startRefused({ config: CONFIG, settings });
    assert.equal(refused.code, code);
    assert.match(refused.output, message);
  });

test("an address of the network is served by name, where tokens are required and the operator says so", async () => {
  await using gateway = await startGateway({
    config: CONFIG,
    settings: { data_threads: "1", admin_listen: "0.0.0.0:0", admin_auth: "on", admin_plaintext: "on" },
  });
  assert.equal((await fetch(`${gateway.adminUrl}/services`)).status, 401);
});
