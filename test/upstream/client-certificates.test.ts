/** What services say of TLS to their upstream, against an nginx that asks for a certificate. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Authority, type KeyPair } from "../support/certificates.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway, startRefused } from "../support/gateway.ts";
import { freePort, type Nginx, startNginx } from "../support/nginx.ts";
import { requireProgram } from "../support/services.ts";

const AUTHORITY = "5a078780-5d4c-4aae-984a-bdc6f52113d8";
const OTHER_AUTHORITY = "b7b86c1c-50f0-4f3c-a4f1-5ac6bd5c6a5c";
const OWN = "43429efd-b3a5-4048-94cb-5cc4029909bb";

describe("a service with an https upstream", () => {
  let authority: Authority;
  let other: Authority;
  let nginx: Nginx;
  let gateway: Gateway;
  let port: number;
  let own: KeyPair;
  let config: (more?: { own?: KeyPair; authority?: string }) => Promise<Record<string, unknown>>;

  before(async () => {
    [authority, other] = await Promise.all([Authority.create(), Authority.create()]);
    const file = (name: string) => join(authority.directory, name);
    await authority.issue("server", ["DNS:localhost", "DNS:other.test", "IP:127.0.0.1"]);
    own = await authority.issue("gateway", ["DNS:gateway"]);
    await authority.issue("settings", ["DNS:settings"]);
    await intermediate(authority.directory);
    const [tlsPort, deepPort] = [await freePort(), await freePort()];
    port = tlsPort;
    const shown = `return 200 "$ssl_client_s_dn|$ssl_server_name|$ssl_session_reused";`;
    nginx = await startNginx(
      `listen 127.0.0.1:${port} ssl; ssl_certificate ${file("server.crt")}; ssl_certificate_key ${file("server.key")};
       ssl_client_certificate ${authority.file}; ssl_verify_client optional; ssl_session_tickets on;
       location / { ${shown} }
       location /once { keepalive_requests 1; ${shown} } }
       server { listen 127.0.0.1:${deepPort} ssl; ssl_certificate ${file("deep.pem")}; ssl_certificate_key ${file("deep.key")};
       location / { return 200 "deep"; }`,
    );
    const trusted = await readFile(authority.file, "utf8");
    const stranger = await readFile(other.file, "utf8");
    const service = (name: string, more: object, url = `https://localhost:${port}`) => ({
      name,
      url,
      ...more,
      routes: [{ name, paths: [`/${name}`] }],
    });
    const trust = { ca_certificates: [AUTHORITY] };
    config = async (more = {}) => ({
      _format_version: "3.0",
      ca_certificates: [
        { id: AUTHORITY, cert: more.authority ?? trusted },
        { id: OTHER_AUTHORITY, cert: stranger },
      ],
      certificates: [{ id: OWN, ...(more.own ?? own) }],
      upstreams: [
        {
          name: "renamed.internal",
          host_header: "other.test:8443",
          targets: [{ target: `127.0.0.1:${port}` }],
        },
      ],
      services: [
        service("trusted", trust),
        service("strange", { ca_certificates: [OTHER_AUTHORITY] }),
        service("known", { ...trust, client_certificate: OWN }),
        service("renamed", { ...trust, host: "renamed.internal" }),
        service("once", { ...trust, path: "/once" }),
        service("deep-0", { ...trust, tls_verify_depth: 0 }, `https://localhost:${deepPort}`),
        service("deep-1", { ...trust, tls_verify_depth: 1 }, `https://localhost:${deepPort}`),
        service("deep", trust, `https://localhost:${deepPort}`),
      ],
    });
    gateway = await startGateway({ config: await config(), settings: { data_threads: "1" } });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await nginx?.[Symbol.asyncDispose]();
    await authority?.[Symbol.asyncDispose]();
    await other?.[Symbol.asyncDispose]();
  });

  const seen = async (path: string, from = gateway) => {
    const { status, body } = await send(`${from.url}${path}`);
    const [client, name, reused] = body.split("|");
    return status === 200 ? { client, name, reused } : { status };
  };

  it("is verified against its own authorities, in place of the system's", async () => {
    assert.equal((await seen("/trusted")).name, "localhost");
    assert.deepEqual(await seen("/strange"), { status: 502 });
  });

  it("shows its certificate, and no other service's connection carries it", async () => {
    for (let i = 0; i < 3; i++) {
      assert.equal((await seen("/known")).client, "CN=gateway");
      assert.equal((await seen("/trusted")).client, "");
    }
  });

  it("asks for the name that the upstream's host_header says, and verifies that one", async () => {
    assert.equal((await seen("/renamed")).name, "other.test");
  });

  it("resumes its session on a new connection", async () => {
    const reused: unknown[] = [];
    for (let i = 0; i < 4; i++) reused.push((await seen("/once")).reused);
    assert.deepEqual(reused, [".", "r", "r", "r"]);
  });

  for (const [path, status] of [
    ["/deep-0", 502],
    ["/deep-1", 200],
    ["/deep", 200],
  ] as const)
    it(`${path}: a chain with one authority between is a ${status}`, async () => {
      const answer = await send(`${gateway.url}${path}`);
      assert.equal(answer.status, status);
      if (status === 200) return;
      const id = answer.header("x-kong-request-id");
      assert.match(String((await gateway.log((line) => line.request_id === id)).msg), /tls_verify_depth 0/);
    });

  it("takes up a certificate or an authority that is changed under its id", async () => {
    const renewed = await authority.issue("renewed", ["DNS:gateway"]);
    await gateway.reload(await config({ own: renewed }));
    assert.equal((await seen("/known")).client, "CN=renewed");
    await gateway.reload(await config({ authority: await readFile(other.file, "utf8") }).then(withoutOther));
    assert.deepEqual(await seen("/trusted"), { status: 502 });
    await gateway.reload(await config());
    assert.equal((await seen("/trusted")).name, "localhost");
  });

  it("shows the certificate of the settings where it names none", async () => {
    await using with_ = await startGateway({
      config: await config(),
      settings: {
        data_threads: "1",
        client_ssl: "on",
        client_ssl_cert: join(authority.directory, "settings.crt"),
        client_ssl_cert_key: join(authority.directory, "settings.key"),
      },
    });
    assert.equal((await seen("/trusted", with_)).client, "CN=settings");
    assert.equal((await seen("/known", with_)).client, "CN=gateway");
  });

  it("client_ssl without a certificate, and files that do not go together, stop the start", async () => {
    const common = { config: await config() };
    const without = await startRefused({ ...common, settings: { client_ssl: "on" } });
    assert.match(without.output, /set client_ssl_cert and client_ssl_cert_key/);
    const mixed = await startRefused({
      ...common,
      settings: {
        proxy_listen: "127.0.0.1:0 ssl",
        ssl_cert: join(authority.directory, "server.crt"),
        ssl_cert_key: join(authority.directory, "settings.key"),
      },
    });
    assert.match(mixed.output, /ssl_cert_key: .*settings\.key: certificate does not match key/);
  });

  it("names authorities and certificates that are there, or the configuration is refused", async () => {
    const wrong = await config();
    const services = wrong.services as Record<string, unknown>[];
    services.push({ name: "x", url: "https://h", ca_certificates: ["00000000-0000-4000-8000-000000000000"] });
    services.push({ name: "y", url: "https://h", client_certificate: "nobody" });
    await assert.rejects(gateway.reload(wrong), (error: Error) => {
      assert.match(error.message, /the CA certificate '00000000-0000-4000-8000-000000000000' does not exist/);
      assert.match(error.message, /invalid reference 'client_certificate: nobody'/);
      return true;
    });
  });
});

/** Two entities cannot hold the same authority. */
function withoutOther(config: Record<string, unknown>): Record<string, unknown> {
  const authorities = config.ca_certificates as { id: string }[];
  const services = config.services as { name: string }[];
  return {
    ...config,
    ca_certificates: authorities.filter(({ id }) => id !== OTHER_AUTHORITY),
    services: services.filter(({ name }) => name !== "strange"),
  };
}

/** A certificate for localhost by an authority that the authority vouches for: `deep.pem` with its chain, `deep.key`. */
async function intermediate(directory: string): Promise<void> {
  const openssl = (command: string) =>
    execFileSync(requireProgram("openssl"), command.split(" "), { cwd: directory, stdio: "ignore" });
  await writeFile(join(directory, "middle.ext"), "basicConstraints=critical,CA:TRUE\n");
  await writeFile(join(directory, "deep.ext"), "subjectAltName=DNS:localhost\n");
  const curve = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
  openssl(`req ${curve} -subj /CN=middle -keyout middle.key -out middle.csr`);
  openssl(
    "x509 -req -in middle.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile middle.ext -out middle.crt",
  );
  openssl(`req ${curve} -subj /CN=deep -keyout deep.key -out deep.csr`);
  openssl(
    "x509 -req -in deep.csr -CA middle.crt -CAkey middle.key -CAcreateserial -days 2 -extfile deep.ext -out deep.crt",
  );
  const chain = await Promise.all(
    ["deep.crt", "middle.crt"].map((name) => readFile(join(directory, name), "utf8")),
  );
  await writeFile(join(directory, "deep.pem"), chain.join(""));
}
