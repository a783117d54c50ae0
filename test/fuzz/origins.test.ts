/**
 * What the gateway sends upstream is one request to everybody: requests of the corpus and of the grammar go through a
 * real gateway to Node, nginx and HAProxy. Each origin must see as many requests as the codec has read, with the
 * same methods, targets and bodies; one that refuses a request must refuse that one alone.
 *
 * nginx and HAProxy pass what they understood on to a recorder, so that their own reading is what is compared.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { ACCEPTED_REQUESTS, REFUSED_REQUESTS } from "../http1/corpus/corpus.ts";
import { LIMITS, type Reading, readRequests } from "../http1/harness.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Haproxy, startHaproxy } from "../support/haproxy.ts";
import { type Nginx, startNginx } from "../support/nginx.ts";
import { grammatical } from "./http1-grammar.ts";

const SEED = 20_260_102;
const GRAMMAR_STREAMS = 4000;

/** Ends each connection, so that its answers are all there once it is closed. */
const LAST = "GET /last HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n";

interface Attempt {
  readonly bytes: Buffer;
  readonly reading: Reading;
}

/** Connections that come to an end by themselves; those that wait for more bytes are tested elsewhere. */
function attempts(): Attempt[] {
  const texts = [
    ...[...ACCEPTED_REQUESTS, ...REFUSED_REQUESTS].map(({ bytes }) => bytes),
    ...fc
      .sample(grammatical("request"), { seed: SEED, numRuns: GRAMMAR_STREAMS })
      .map(({ bytes }) => bytes.toString("latin1")),
  ];
  return texts
    .map((text) => Buffer.from(text + LAST, "latin1"))
    .map((bytes) => ({ bytes, reading: readRequests([bytes]) }))
    .filter(({ reading }) => reading.end === "closed" || reading.end === "refused");
}

type Record = readonly [method: string, target: string, body: string];

class Recorder {
  readonly records: Record[] = [];
  readonly server: Server = createServer({ maxHeaderSize: 262_144, requireHostHeader: false });

  constructor() {
    this.server.on("request", async (request, response) => {
      let body = "";
      request.setEncoding("latin1");
      for await (const piece of request) body += piece;
      this.records.push([request.method as string, request.url as string, body]);
      response.end("ok");
    });
    for (const event of ["checkContinue", "checkExpectation"])
      this.server.on(event, (request, response) => this.server.emit("request", request, response));
  }

  async listen(): Promise<number> {
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    return (this.server.address() as AddressInfo).port;
  }
}

/** All that a connection is answered with, once it has ended. */
async function answersTo(port: number, bytes: Buffer): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1" });
  let text = "";
  socket.setEncoding("latin1").on("data", (chunk: string) => {
    text += chunk;
  });
  socket.on("error", () => {});
  socket.write(bytes);
  await once(socket, "close");
  return text;
}

/** Answers of an origin, as opposed to the gateway's own. */
const proxied = (text: string) => text.match(/\r\nVia: 1\.[01] gatehouse/g)?.length ?? 0;
const refusals = (text: string) =>
  text
    .split(/(?=HTTP\/1\.1 \d{3} )/)
    .filter((answer) => /^HTTP\/1\.1 [45]/.test(answer) && proxied(answer) > 0).length;

describe("what goes upstream is one request to Node, nginx and HAProxy", () => {
  const recorder = new Recorder();
  const all = attempts();
  const seen = new Map<string, (readonly Record[])[]>();
  let recorderPort: number;
  let gateway: Gateway;
  let nginx: Nginx;
  let haproxy: Haproxy;

  const config = (url: string) => ({
    _format_version: "3.0",
    services: [
      {
        name: "origin",
        url,
        routes: [{ name: "all", paths: ["/"], strip_path: false, preserve_host: true }],
      },
    ],
  });

  before(async () => {
    recorderPort = await recorder.listen();
    nginx = await startNginx(
      `access_log access.log; large_client_header_buffers 8 64k; underscores_in_headers on; merge_slashes off;
       ignore_invalid_headers off; keepalive_requests 100000;
       location / { proxy_pass http://127.0.0.1:${recorderPort}; proxy_http_version 1.1; }`,
    );
    haproxy = await startHaproxy(recorderPort);
    gateway = await startGateway({
      config: config(`http://127.0.0.1:${recorderPort}`),
      settings: {
        data_threads: "1",
        max_url_bytes: String(LIMITS.maxUrlBytes),
        max_head_bytes: String(LIMITS.maxHeadBytes),
        max_headers: String(LIMITS.maxHeaders),
        client_head_timeout_ms: "2000",
        client_body_timeout_ms: "2000",
      },
    });
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await nginx?.[Symbol.asyncDispose]();
    await haproxy?.[Symbol.asyncDispose]();
    recorder.server.closeAllConnections();
    recorder.server.close();
  });

  /** Runs all attempts against the present origin. Returns how many answers came from it. */
  async function run(name: string): Promise<{ answers: number; refused: number; broken: number }> {
    const perAttempt: (readonly Record[])[] = [];
    const total = { answers: 0, refused: 0, broken: 0 };
    for (const { bytes, reading } of all) {
      recorder.records.length = 0;
      const text = await answersTo(gateway.ports.proxy, bytes);
      const answers = proxied(text);
      const refused = refusals(text);
      const records = [...recorder.records];
      perAttempt.push(records);
      total.answers += answers;
      total.refused += refused;
      if (reading.code === "bad_chunk") total.broken++;
      const what = () =>
        `${name}: ${JSON.stringify(bytes.toString("latin1").slice(0, 500))}\n${JSON.stringify(records).slice(0, 500)}\n${text}`;
      assert.equal(records.length, answers - refused, what());
      // Every record is one of the messages that the codec read, in their order: nothing new, nothing twice.
      let at = 0;
      for (const [method, , body] of records) {
        while (
          at < reading.messages.length &&
          !(reading.messages[at]?.line.startsWith(`${method} `) && reading.messages[at]?.body === body)
        )
          at++;
        assert.ok(at < reading.messages.length, what());
        at++;
      }
    }
    seen.set(name, perAttempt);
    return total;
  }

  it(`${all.length} connections to Node's strict parser`, async () => {
    const { answers } = await run("Node");
    assert.ok(answers > all.length / 3, `${answers} answers of the origin`);
  });

  it("the same to nginx, whose log has one line for each", async () => {
    await gateway.reload(config(nginx.url));
    const { answers, broken } = await run("nginx");
    const lines = (await readFile(join(nginx.prefix, "access.log"), "utf8")).trim().split("\n").length;
    assert.ok(
      lines >= answers && lines <= answers + broken,
      `${lines} lines, ${answers} answers, ${broken} broken off`,
    );
  });

  it("the same to HAProxy, whose count has one for each", async () => {
    await gateway.reload(config(haproxy.url));
    const { answers, broken } = await run("HAProxy");
    const counted = await haproxy.requests();
    assert.ok(
      counted >= answers && counted <= answers + broken,
      `${counted} counted, ${answers} answers, ${broken} broken off`,
    );
  });

  it("each origin saw the same methods, targets and bodies as Node did, unless it refused the request", () => {
    for (const name of ["nginx", "HAProxy"]) {
      let same = 0;
      for (const [i, records] of (seen.get(name) ?? []).entries()) {
        const node = (seen.get("Node") ?? [])[i] ?? [];
        if (JSON.stringify(records) === JSON.stringify(node)) {
          same += records.length;
          continue;
        }
        // What one of them refused is missing on its side, and nothing else differs.
        const [fewer, more] = records.length < node.length ? [records, node] : [node, records];
        const left = more.map((record) => JSON.stringify(record));
        for (const record of fewer) {
          const found = left.indexOf(JSON.stringify(record));
          assert.ok(found >= 0, `${name}: ${JSON.stringify({ records, node })}`);
          left.splice(0, found + 1);
        }
      }
      assert.ok(same > all.length / 3, `${name}: ${same} requests were the same`);
    }
  });
});
