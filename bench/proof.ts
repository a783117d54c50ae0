/**
 * Before a variant is measured it has to show that it does the work of its case: a proxy that skips a header
 * edit or the limit, that buffers nothing of an upload or negotiates weaker TLS, would win unfairly.
 */
import http from "node:http";
import https from "node:https";
import { connect, type TLSSocket } from "node:tls";
import { NEGOTIATED } from "./certificate.ts";
import type { Target } from "./load/target.ts";

export const POLICY_HEADERS = { apikey: "bench-key-1", "X-Bench-Secret": "for nobody upstream" };

export type Work = "plain" | "policy" | "routes";

interface Answer {
  status: number;
  header(name: string): string | undefined;
  body: string;
}

/** One request on a connection of its own. */
function ask(
  { port, tls }: Pick<Target, "port" | "tls">,
  path: string,
  headers: Record<string, string>,
  body?: Buffer,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = {
      port,
      path,
      headers,
      host: "127.0.0.1",
      agent: false as const,
      rejectUnauthorized: false,
    };
    const request = (tls ? https : http).request(
      { ...options, method: body ? "POST" : "GET" },
      (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("error", reject);
        response.once("end", () =>
          resolve({
            status: response.statusCode ?? 0,
            header: (name) => [response.headers[name] ?? []].flat()[0],
            body: Buffer.concat(chunks).toString("latin1"),
          }),
        );
      },
    );
    request.once("error", reject);
    request.end(body);
  });
}

/** Throws one sentence that names what the variant did not do. */
export async function prove(work: Work, target: Target, mark?: string): Promise<void> {
  const { tls } = target;
  const expect = (what: string, seen: unknown, wanted: unknown) => {
    if (seen !== wanted) throw new Error(`${what}: expected ${wanted}, got ${seen}`);
  };
  if (tls) await proveTls(target.port, expect);

  if (work === "routes") {
    const last = Math.max(target.routes - 1, 0);
    expect(`status of route ${last}`, (await ask(target, `/r/${last}/small`, {})).status, 200);
    expect("status without a route", (await ask(target, "/none", {})).status, 404);
    return;
  }

  const body = target.bodyBytes > 0 ? Buffer.alloc(target.bodyBytes, "gatehouse") : undefined;
  const measured = await ask(target, target.path, target.headers, body);
  expect(`status of ${target.path}`, measured.status, 200);
  if (body) {
    const counted = await ask(target, "/upload-proof", target.headers, body);
    expect("bytes that the upstream received", counted.body, String(body.length));
  }

  const proof = await ask(target, "/proof", POLICY_HEADERS);
  const proto = tls ? "https" : "http";
  expect("status of /proof", proof.status, 200);
  if (work === "plain") {
    const wanted = `consumer= added= secret=for nobody upstream for=127.0.0.1 proto=${proto}`;
    expect("what the upstream saw", proof.body, wanted);
    expect("upstream's response header", proof.header("x-bench-internal"), "upstream-7");
    return;
  }

  const wanted = `consumer=bench-consumer added=yes secret= for=127.0.0.1 proto=${proto}`;
  expect("what the upstream saw", proof.body, wanted);
  expect("removed response header", proof.header("x-bench-internal"), undefined);
  expect("added response header", proof.header("x-bench-response"), "yes");
  for (const name of ["ratelimit-limit", "x-ratelimit-limit-minute"]) {
    expect(name, proof.header(name), "1000000000");
  }
  const next = await ask(target, "/proof", POLICY_HEADERS);
  for (const name of ["ratelimit-remaining", "x-ratelimit-remaining-minute"]) {
    const [before, after] = [Number(proof.header(name)), Number(next.header(name))];
    // Equal at most when a new minute began between the two.
    if (!(before > 0 && after !== before))
      throw new Error(`${name} does not count: ${before}, then ${after}`);
  }
  const reset = Number(proof.header("ratelimit-reset"));
  if (!(reset >= 1 && reset <= 60)) throw new Error(`ratelimit-reset is ${reset}, not 1 to 60 s`);
  expect("status without a key", (await ask(target, "/proof", {})).status, 401);
  expect("status with a wrong key", (await ask(target, "/proof", { apikey: "wrong" })).status, 401);
  if (mark !== undefined && proof.header(mark) === undefined)
    throw new Error(`the guest's header ${mark} is missing`);
}

type Expect = (what: string, seen: unknown, wanted: unknown) => void;

/** Protocol, cipher, curve and kind of key; and that a session of the first connection resumes on the second. */
async function proveTls(port: number, expect: Expect): Promise<void> {
  const first = await shake(port);
  expect("negotiated", first.negotiated, NEGOTIATED);
  expect("session of a new client", first.reused, false);
  expect("session of a client that was here before", (await shake(port, first.session)).reused, true);
}

interface Shaken {
  negotiated: string;
  reused: boolean;
  session: Buffer;
}

function shake(port: number, session?: Buffer): Promise<Shaken> {
  return new Promise((resolve, reject) => {
    // What wrk and ab offer first; Node's own list may begin with a hybrid that they do not know.
    const socket: TLSSocket = connect(
      { port, host: "127.0.0.1", rejectUnauthorized: false, session, ecdhCurve: "X25519" },
      () => socket.write("GET /small HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    );
    let resumable: Buffer | undefined;
    // Tickets of TLS 1.3 come after the handshake (RFC 8446 section 4.6.1).
    socket.on("session", (ticket) => {
      resumable = ticket;
    });
    socket.resume();
    socket.once("error", reject);
    let shaken: Omit<Shaken, "session"> | undefined;
    socket.once("secureConnect", () => {
      const { name = "" } = socket.getEphemeralKeyInfo() as { name?: string };
      const { nistCurve, asn1Curve } = socket.getPeerCertificate() as {
        nistCurve?: string;
        asn1Curve?: string;
      };
      shaken = {
        negotiated: [socket.getProtocol(), socket.getCipher().name, name, asn1Curve ?? nistCurve].join(" "),
        reused: socket.isSessionReused(),
      };
    });
    socket.once("close", () => {
      if (shaken === undefined) reject(new Error("no TLS handshake"));
      else if (resumable === undefined && session === undefined)
        reject(new Error("no session ticket was sent"));
      else resolve({ ...shaken, session: resumable ?? Buffer.alloc(0) });
    });
  });
}
