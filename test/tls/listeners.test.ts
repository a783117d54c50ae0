/** TLS at the gateway's listeners: certificates by name, sessions, reloads, and who is turned away. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { connect as connectPlain } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Authority, type KeyPair } from "../support/certificates.ts";
import { send } from "../support/client.ts";
import { type Gateway, startGateway, startRefused } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { openRaw } from "../support/raw-client.ts";
import { requireProgram } from "../support/services.ts";
import { openTls, shownFor } from "./client.ts";

const LISTEN = "127.0.0.1:0, 127.0.0.1:0 ssl";

describe("a TLS listener", () => {
  let authority: Authority;
  let pairs: Record<"a" | "b" | "wild" | "suffix" | "tenant", KeyPair>;
  let origin: Origin;
  let gateway: Gateway;
  let port: number;

  const certificate = ({ cert, key }: KeyPair, ...snis: string[]) => ({ cert, key, snis });
  const config = (a: KeyPair = pairs.a) => ({
    _format_version: "3.0",
    services: [
      {
        name: "echo",
        url: origin.url,
        routes: [
          { name: "any", paths: ["/"] },
          { name: "secure", paths: ["/secure"], protocols: ["https"] },
          { name: "redirected", paths: ["/moved"], protocols: ["https"], https_redirect_status_code: 301 },
          { name: "by-sni", paths: ["/named"], protocols: ["https"], snis: ["a.test"] },
        ],
      },
    ],
    certificates: [
      certificate(a, "a.test"),
      { ...pairs.b, snis: [{ name: "b.test" }, { name: "exact.wild.test" }] },
      certificate(pairs.wild, "*.wild.test"),
      certificate(pairs.suffix, "suffix.*"),
    ],
    workspaces: [
      {
        name: "acme",
        hosts: ["acme.test", "*.acme.test"],
        certificates: [certificate(pairs.tenant, "acme.test", "*.acme.test")],
        services: [{ name: "own", url: origin.url, routes: [{ hosts: ["acme.test", "*.acme.test"] }] }],
      },
    ],
  });

  before(async () => {
    authority = await Authority.create();
    const made: Partial<typeof pairs> = {};
    for (const name of ["a", "b", "wild", "suffix", "tenant"] as const)
      made[name] = await authority.issue(name, [`DNS:${name}.test`]);
    pairs = made as typeof pairs;
    origin = await startOrigin();
    gateway = await startGateway({
      config: config(),
      settings: { proxy_listen: LISTEN, data_threads: "2", client_head_timeout_ms: "500", log_level: "info" },
    });
    port = gateway.ports.proxy_ssl;
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.[Symbol.asyncDispose]();
    await authority?.[Symbol.asyncDispose]();
  });

  for (const [name, shown] of [
    ["a.test", "a"],
    ["A.Test", "a"],
    ["b.test", "b"],
    ["exact.wild.test", "b"],
    ["other.wild.test", "wild"],
    ["deep.other.wild.test", "localhost"],
    ["wild.test", "localhost"],
    ["suffix.com", "suffix"],
    ["acme.test", "tenant"],
    ["shop.acme.test", "tenant"],
    ["nobody.test", "localhost"],
    [undefined, "localhost"],
  ] as const)
    it(`shows the certificate '${shown}' to a client that asks for ${name ?? "nobody"}`, async () => {
      assert.equal(await shownFor(port, name), shown);
    });

  it("makes itself a certificate when it was given none, whose key only the owner can read", async () => {
    const key = await stat(join(gateway.prefix, "ssl", "gatehouse-default.key"));
    assert.equal(key.mode & 0o777, 0o600);
    const cert = await readFile(join(gateway.prefix, "ssl", "gatehouse-default.crt"), "utf8");
    await using client = await openTls(port, { ca: cert, servername: "localhost", rejectUnauthorized: true });
    assert.equal(client.tls.authorized, true);
  });

  it("tells upstreams and routes that the request came by https", async () => {
    await using client = await openTls(port, { servername: "a.test" });
    const { headers } = JSON.parse((await client.get("/x", "a.test")).body.toString());
    const field = (name: string) => headers.find(([key]: [string]) => key.toLowerCase() === name)?.[1];
    assert.deepEqual([field("x-forwarded-proto"), field("x-forwarded-port")], ["https", String(port)]);
  });

  it("serves routes for https alone, which plain HTTP is told to come back for", async () => {
    await using client = await openTls(port);
    assert.equal((await client.get("/secure")).status, 200);
    assert.equal((await send(`${gateway.url}/secure`)).status, 426);
    const moved = await send(`${gateway.url}/moved?x=1`);
    assert.equal(moved.status, 301);
    assert.match(String(moved.header("location")), /^https:\/\/127\.0\.0\.1\/moved\?x=1$/);
  });

  it("matches routes by the name in the handshake", async () => {
    for (const [servername, route] of [
      ["a.test", "by-sni"],
      ["b.test", "any"],
    ] as const) {
      await using client = await openTls(port, { servername });
      const { body } = await client.get("/named/x", servername);
      assert.equal(JSON.parse(body.toString()).url, route === "by-sni" ? "/x" : "/named/x");
    }
  });

  for (const [servername, host, status] of [
    ["acme.test", "acme.test", 200],
    ["acme.test", "shop.acme.test", 200],
    ["a.test", "b.test", 200],
    ["a.test", "acme.test", 421],
    ["acme.test", "a.test", 421],
    [undefined, "acme.test", 200],
  ] as const)
    it(`answers ${status} to a request for ${host} on a connection for ${servername ?? "nobody"}`, async () => {
      await using client = await openTls(port, servername === undefined ? {} : { servername });
      assert.equal((await client.get("/x", host)).status, status);
    });

  it("agrees on http/1.1 by ALPN, and refuses a client that speaks only something else", async () => {
    await using client = await openTls(port, { ALPNProtocols: ["h2", "http/1.1"] });
    assert.equal(client.tls.alpnProtocol, "http/1.1");
    await assert.rejects(openTls(port, { ALPNProtocols: ["h2"] }), /no application protocol/i);
  });

  for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
    const only = { minVersion: version, maxVersion: version } as const;

    it(`${version}: a session is resumed on every thread`, async () => {
      await using first = await openTls(port, { servername: "a.test", ...only });
      await first.get("/x", "a.test");
      assert.equal(first.tls.getProtocol(), version);
      assert.ok(first.session);
      const resumed: boolean[] = [];
      for (let i = 0; i < 12; i++) {
        await using next = await openTls(port, { servername: "a.test", session: first.session, ...only });
        assert.equal((await next.get("/x", "a.test")).status, 200);
        resumed.push(next.tls.isSessionReused());
      }
      assert.ok(resumed.every(Boolean));
    });

    it(`${version}: a ticket of one certificate is worth nothing for another one's name`, async () => {
      const file = join(gateway.prefix, `session-${version}`);
      await sClient(port, "a.test", version, ["-sess_out", file]);
      const same = await sClient(port, "a.test", version, ["-sess_in", file]);
      const other = await sClient(port, "b.test", version, ["-sess_in", file]);
      assert.match(same, /^Reused, /m);
      assert.match(other, /^New, /m);
      assert.match(other, /subject=.*CN ?= ?b/);
    });

    it(`${version}: large bodies go both ways whole, and requests in one write are answered in order`, async () => {
      await using client = await openTls(port, only);
      const size = 3_000_000;
      client.write(`POST /big HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${size}\r\n\r\n`);
      client.write(Buffer.alloc(size, "x"));
      const answer = JSON.parse((await client.read()).body.toString());
      assert.equal(answer.bodyLength, size);
      client.write(
        Array.from({ length: 50 }, (_, i) => `GET /n${i} HTTP/1.1\r\nHost: localhost\r\n\r\n`).join(""),
      );
      for (let i = 0; i < 50; i++)
        assert.equal(JSON.parse((await client.read()).body.toString()).url, `/n${i}`);
    });
  }

  it("a client that reads late gets all of a response that no buffer of the system holds", async () => {
    await using big = await startOrigin((_, response) => void response.end(Buffer.alloc(20_000_000, "y")));
    const services = [{ name: "big", url: big.url, routes: [{ paths: ["/"] }] }];
    await using other = await startGateway({
      config: { _format_version: "3.0", services },
      settings: { proxy_listen: LISTEN, data_threads: "1" },
    });
    await using client = await openTls(other.ports.proxy_ssl);
    client.socket.pause();
    client.write("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    // The rest of the system goes on meanwhile.
    for (let i = 0; i < 5; i++) assert.equal((await send(`${other.statusUrl}/status`)).status, 200);
    client.socket.resume();
    assert.equal((await client.read()).body.length, 20_000_000);
  });

  it("a client's goodbye is answered with one, after the response to what it had asked", async () => {
    await using client = await openTls(port);
    client.write("GET /last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    assert.equal((await client.read()).status, 200);
    if (!client.socket.readableEnded) await once(client.socket, "end");
    client.socket.end();
    await once(client.socket, "close");
  });

  it("renegotiation is refused", async () => {
    const child = spawn(requireProgram("openssl"), sClientArguments(port, "a.test", "TLSv1.2", []), {
      stdio: ["pipe", "pipe", "pipe"],
    });
    let output = "";
    const watch = (text: string) => {
      output += text;
      if (/Verify return code[\s\S]*---/.test(output) && !output.includes("RENEGOTIATING"))
        child.stdin.write("R\n");
    };
    child.stdout.setEncoding("utf8").on("data", watch);
    child.stderr.setEncoding("utf8").on("data", watch);
    await once(child, "close");
    assert.match(output, /RENEGOTIATING/);
    assert.match(output, /no renegotiation|handshake failure|unexpected eof|write:errno/i);
  });

  it("plain HTTP gets an answer that says what is wrong, and the connection ends", async () => {
    await using client = await openRaw(port);
    client.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    const { status, body } = await client.read();
    assert.deepEqual([status, body.toString()], [400, "The plain HTTP request was sent to an HTTPS port.\n"]);
    if (!client.socket.readableEnded) await once(client.socket, "end");
  });

  it("a ClientHello on the plain port is 400, and the connection ends", async () => {
    const socket = connectPlain({ port: gateway.ports.proxy, host: "127.0.0.1" });
    socket.write(Buffer.from([22, 3, 1, 0, 4, 1, 0, 0, 0, 13, 10, 13, 10]));
    let text = "";
    socket.setEncoding("latin1").on("data", (chunk) => {
      text += chunk;
    });
    await once(socket, "close");
    assert.match(text, /^HTTP\/1\.1 400 /);
  });

  for (const [title, bytes, reason] of [
    ["garbage", Buffer.from("\x00\x01\x02garbage, not TLS"), /TLS: /],
    ["an old SSL 2 hello", Buffer.from([0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10]), /TLS: |in time/],
    ["a record of the wrong kind", Buffer.from([23, 3, 3, 0, 1, 0]), /TLS: /],
    ["half a ClientHello and silence", Buffer.from([22, 3, 1, 2, 0, 1, 0, 1]), /did not end in time/],
  ] as const)
    it(`${title} ends the connection, and the log says why`, async () => {
      const seen = gateway.logs.length;
      const socket = connectPlain({ port, host: "127.0.0.1" }).on("error", () => {});
      socket.write(bytes);
      socket.resume();
      await once(socket, "close");
      const line = await gateway.log(
        (entry) => entry.code === "tls_handshake" && gateway.logs.indexOf(entry) >= seen,
      );
      assert.match(String(line.msg), reason);
      assert.equal(line.level, "info");
    });

  it("a client that says nothing is closed in time, and none of this leaves a descriptor behind", async () => {
    const silent = connectPlain({ port, host: "127.0.0.1" }).resume();
    await once(silent, "close");
    const before = await descriptors(gateway.pid);
    for (let i = 0; i < 100; i++) {
      const socket = connectPlain({ port, host: "127.0.0.1" }).on("error", () => {});
      socket.resume();
      if (i % 3 === 0) socket.write("\x16\x03\x01nonsense");
      else if (i % 3 === 1) socket.write(Buffer.from([22, 3, 1, 2, 0, 1, 0, 1]));
      await once(socket, "connect");
      socket.destroy();
    }
    await using client = await openTls(port);
    assert.equal((await client.get("/x")).status, 200);
    while ((await descriptors(gateway.pid)) > before + 8) await send(`${gateway.statusUrl}/status`);
  });

  it("a new certificate serves new handshakes, while connections that are there go on", async () => {
    const renewed = await authority.issue("renewed", ["DNS:a.test"]);
    await using old = await openTls(port, { servername: "a.test" });
    await old.get("/x", "a.test");
    await gateway.reload(config(renewed));
    assert.equal(await shownFor(port, "a.test"), "renewed");
    assert.equal(await shownFor(port, "b.test"), "b");
    assert.equal((await old.get("/x", "a.test")).status, 200);
    await using next = await openTls(port, { servername: "a.test", session: old.session });
    assert.equal(next.tls.isSessionReused(), false);
    await gateway.reload(config());
    assert.equal(await shownFor(port, "a.test"), "a");
  });

  it("a certificate whose key is another's refuses the whole configuration, and the old one serves on", async () => {
    const wrong = { cert: pairs.a.cert, key: pairs.b.key };
    await assert.rejects(gateway.reload(config(wrong)), /certificate does not match key/);
    assert.equal(await shownFor(port, "a.test"), "a");
  });

  it("nobody is shown a private key by the Admin API", async () => {
    const { certificates } = config();
    const secrets = [...certificates.map(({ key }) => key), pairs.tenant.key].map(
      (pem) => pem.split("\n")[1] as string,
    );
    const shown = await Promise.all(
      ["/certificates", "/acme/certificates", "/config", "/snis"].map(async (path) => {
        const { status, body } = await send(`${gateway.adminUrl}${path}`);
        assert.equal(status, 200);
        return body;
      }),
    );
    for (const secret of secrets) assert.ok(!shown.join("\n").includes(secret));
    const { data } = JSON.parse(shown[0] as string) as { data: { key: string; snis: string[] }[] };
    assert.equal(data.find(({ snis }) => snis.includes("a.test"))?.key, "REDACTED");
    assert.ok(!gateway.output().includes("PRIVATE KEY"));
  });
});

describe("the certificates of the settings", () => {
  it("serve names that no entity has, RSA and ECDSA side by side, and are read again with the configuration", async () => {
    const directory = await mkdtemp(join(tmpdir(), "gatehouse-tls-"));
    await using authority = await Authority.create();
    const path = (name: string) => join(directory, name);
    const put = async ({ cert, key }: KeyPair) => {
      await writeFile(path("ec.crt"), cert);
      await writeFile(path("ec.key"), key);
    };
    await put(await authority.issue("first", ["DNS:localhost"]));
    execFileSync(
      requireProgram("openssl"),
      "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=rsa -keyout rsa.key -out rsa.crt".split(" "),
      { cwd: directory, stdio: "ignore" },
    );
    await using gateway = await startGateway({
      config: { _format_version: "3.0" },
      settings: {
        proxy_listen: "127.0.0.1:0 ssl",
        data_threads: "1",
        ssl_cert: `${path("ec.crt")}, ${path("rsa.crt")}`,
        ssl_cert_key: `${path("ec.key")}, ${path("rsa.key")}`,
        ssl_session_tickets: "off",
      },
    });
    const port = gateway.ports.proxy_ssl;
    assert.equal(await shownFor(port), "first");
    await using rsa = await openTls(port, { sigalgs: "rsa_pss_rsae_sha256:rsa_pkcs1_sha256" });
    assert.equal(rsa.certificate, "rsa");

    await using first = await openTls(port);
    await first.get("/");
    await using again = await openTls(port, first.session === undefined ? {} : { session: first.session });
    assert.equal(again.tls.isSessionReused(), false, "tickets are off");

    await put(await authority.issue("second", ["DNS:localhost"]));
    await gateway.reload({ _format_version: "3.0" });
    assert.equal(await shownFor(port), "second");

    await writeFile(path("ec.key"), "no key");
    await gateway.reload({ _format_version: "3.0" });
    await gateway.log((line) => String(line.reason).includes("ssl_cert_key") && line.level === "error");
    assert.equal(await shownFor(port), "second");
    await rm(directory, { recursive: true });
  });

  it("versions and ciphers are the settings'", async () => {
    await using gateway = await startGateway({
      config: { _format_version: "3.0" },
      settings: { proxy_listen: "127.0.0.1:0 ssl", data_threads: "1", ssl_cipher_suite: "modern" },
    });
    const port = gateway.ports.proxy_ssl;
    await using client = await openTls(port);
    assert.equal(client.tls.getProtocol(), "TLSv1.3");
    await assert.rejects(openTls(port, { maxVersion: "TLSv1.2" }), /alert|version/i);
  });
});

it("ciphers that OpenSSL does not know stop the start", async () => {
  const { output } = await startRefused({
    config: { _format_version: "3.0" },
    settings: { proxy_listen: "127.0.0.1:0 ssl", ssl_cipher_suite: "custom", ssl_ciphers: "NO-SUCH-CIPHER" },
  });
  assert.match(output, /ssl_cert, ssl_ciphers: OpenSSL refuses them: no cipher match/);
});

it("the log tells of a certificate that ends soon", async () => {
  await using authority = await Authority.create();
  const pair = await authority.issue("brief", ["DNS:a.test"]);
  await using gateway = await startGateway({
    config: { _format_version: "3.0", certificates: [{ ...pair }] },
  });
  const line = await gateway.log((entry) => entry.msg === "a certificate expires soon");
  assert.equal(line.level, "warn");
  assert.match(String(line.certificate), /^[0-9a-f-]{36}$/);
});

it("the log tells at start of a certificate of ssl_cert that has ended", async () => {
  await using authority = await Authority.create();
  await authority.issue("late", ["DNS:a.test"]);
  const { directory: cwd } = authority;
  const old = "x509 -req -in late.csr -signkey late.key -days -1 -out old.crt";
  execFileSync(requireProgram("openssl"), old.split(" "), { cwd, stdio: "ignore" });
  await using gateway = await startGateway({
    config: { _format_version: "3.0" },
    settings: {
      proxy_listen: LISTEN,
      ssl_cert: join(cwd, "old.crt"),
      ssl_cert_key: join(cwd, "late.key"),
    },
  });
  const line = await gateway.log((entry) => entry.msg === "a certificate has expired");
  assert.deepEqual([line.level, line.certificate, line.expired], ["warn", "ssl_cert", true]);
  const ports = JSON.parse(await readFile(join(gateway.prefix, "ports.json"), "utf8"));
  assert.deepEqual(ports.proxy_ports, [ports.proxy, ports.proxy_ssl]);
});

async function descriptors(pid: number): Promise<number> {
  return (await readdir(`/proc/${pid}/fd`)).length;
}

function sClientArguments(port: number, name: string, version: string, more: readonly string[]): string[] {
  const flag = version === "TLSv1.2" ? "-tls1_2" : "-tls1_3";
  return ["s_client", "-connect", `127.0.0.1:${port}`, "-servername", name, flag, ...more];
}

/** What OpenSSL's client says of a connection on which it asks for a page. */
async function sClient(
  port: number,
  name: string,
  version: string,
  more: readonly string[],
): Promise<string> {
  const program = requireProgram("openssl");
  const child = spawn(program, [...sClientArguments(port, name, version, more), "-ign_eof"]);
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    output += text;
  });
  child.stderr.resume();
  child.stdin.end(`GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`);
  await once(child, "close");
  return output;
}
