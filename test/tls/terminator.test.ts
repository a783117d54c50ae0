/** The thread's side of TLS: keys of tickets, and contexts that are kept as long as their content is the same. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type Server } from "node:net";
import { after, before, describe, it } from "node:test";
import { Deadlines } from "../../src/http1/deadlines.ts";
import { acceptPlain } from "../../src/http1/plain-wire.ts";
import { Certificates } from "../../src/tls/certificates.ts";
import { Contexts, type ListenerTls, TICKET_KEY_BYTES } from "../../src/tls/contexts.ts";
import { selfSigned } from "../../src/tls/self-signed.ts";
import { Terminator } from "../../src/tls/terminator.ts";
import { openTls } from "./client.ts";

const OPTIONS: ListenerTls = {
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.3",
  ciphers: "TLS_AES_256_GCM_SHA384:ECDHE-ECDSA-AES128-GCM-SHA256",
  preferServerCiphers: true,
  sessionTickets: true,
  sessionTimeoutSeconds: 3600,
};
const keys = (fill: number) => Buffer.alloc(TICKET_KEY_BYTES, fill);

describe("a terminator", () => {
  const fallback = [selfSigned("localhost")];
  let terminator: Terminator;
  let server: Server;
  let port: number;

  before(async () => {
    const tls = { options: OPTIONS, fallback, ticketKeys: keys(1) };
    terminator = new Terminator(tls, new Deadlines(), 10_000, () => {});
    server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    port = (server.address() as { port: number }).port;
    const closed = { onRead() {}, onDrain() {}, onBroken() {}, onClosed() {} };
    acceptPlain(
      server,
      (wire) =>
        terminator.shake(
          wire,
          null,
          (secure) => {
            secure.own({ ...closed, onEnd: () => secure.end() });
            setImmediate(() => secure.writeText(`${secure.protocol} ${secure.resumed}`));
          },
          () => {},
        ),
      () => {},
    );
  });
  after(() => {
    server.close();
  });

  /** What the server says on a new connection, and the session that comes with it. */
  const talk = async (session?: Buffer, maxVersion: "TLSv1.2" | "TLSv1.3" = "TLSv1.3") => {
    await using client = await openTls(port, { maxVersion, ...(session === undefined ? {} : { session }) });
    const [said] = await once(client.socket, "data");
    return { said: String(said), session: client.session };
  };

  for (const version of ["TLSv1.2", "TLSv1.3"] as const)
    it(`${version}: tickets are good until their keys are replaced, and new ones from then on`, async () => {
      const { session } = await talk(undefined, version);
      assert.equal((await talk(session, version)).said, `${version} true`);
      terminator.replace({ options: OPTIONS, fallback, ticketKeys: keys(version === "TLSv1.2" ? 2 : 3) });
      const next = await talk(session, version);
      assert.equal(next.said, `${version} false`);
      assert.equal((await talk(next.session, version)).said, `${version} true`);
    });

  it("gives up the handshakes that began first, one by one, where descriptors are short", async () => {
    const clients = [0, 1, 2].map(() => connect(port, "127.0.0.1"));
    const reached = Promise.all(clients.map((client) => once(client, "connect")));
    await reached;
    // A handshake on another connection is over: those before it have begun.
    await talk();
    const closed = clients.map((client) => once(client.resume(), "close"));
    terminator.evict();
    await closed[0];
    terminator.evict();
    await closed[1];
    assert.equal(clients[2]?.destroyed, false);
    terminator.close();
    await closed[2];
    terminator.evict();
  });

  it("makes one context of equal content, whichever configuration it stands in, and none before it is asked", () => {
    const contexts = new Contexts(OPTIONS, keys(1));
    const pair = selfSigned("a.test");
    const entity = (id: string, ws: string, cert = pair.cert) =>
      ({
        id,
        ws_id: ws,
        ...pair,
        cert,
        cert_alt: null,
        key_alt: null,
        tags: null,
        created_at: 0,
        updated_at: 0,
      }) as const;
    const sni = (id: string, name: string, certificate: string) =>
      ({
        id,
        ws_id: "w",
        name,
        certificate: { id: certificate },
        tags: null,
        created_at: 0,
        updated_at: 0,
      }) as const;
    const none = { certificates: [], snis: [] };
    const first = Certificates.only(contexts, fallback).next({
      put: {
        certificates: [entity("1", "w"), entity("2", "other"), entity("3", "w", "no PEM")],
        snis: [sni("s", "a.test", "1")],
      },
      removed: none,
    });
    const context = first.contextFor("a.test");
    assert.equal(first.next({ put: none, removed: none }), first);
    const renamed = first.next({
      put: { certificates: [entity("4", "w")], snis: [sni("s", "b.test", "4"), sni("t", "c.test", "2")] },
      removed: { certificates: ["1"], snis: [] },
    });
    assert.equal(renamed.contextFor("b.test"), context);
    assert.notEqual(renamed.contextFor("c.test"), context, "tenants share no sessions");
    assert.equal(renamed.contextFor("a.test"), renamed.contextFor(null));
    assert.equal(first.contextFor("a.test"), context, "the old one answers as it did");
  });
});
