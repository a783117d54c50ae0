/**
 * What one head costs: parsing, and writing it again, for the heads that browsers, API clients and wrk send and
 * that upstreams answer with. The codec is called directly; Node's parser (llhttp) is timed through node:http over
 * streams in memory, since Node hands it out no other way, so its column holds IncomingMessage and ServerResponse
 * too. Compare columns within one run only.
 *
 *     npm exec -- node bench/http1.ts [--rounds 7]
 */
import http from "node:http";
import { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type HeadLimits, RequestHead, ResponseHead } from "../src/http1/head.ts";
import { FIELD, HeaderList } from "../src/http1/headers.ts";
import { parseRequestHead, parseResponseHead } from "../src/http1/parse.ts";
import { fieldLines, statusLine } from "../src/http1/write.ts";

const LIMITS: HeadLimits = { maxHeadBytes: 32_768, maxHeaders: 100, maxUrlBytes: 8192 };
const HEADS_A_ROUND = 100_000;
/** node:http is slower by an order of magnitude; a shorter round is as steady. */
const NODE_HEADS_A_ROUND = 10_000;
const PIPELINED = 20;

const head = (...lines: string[]) => Buffer.from([...lines, "", ""].join("\r\n"), "latin1");

const REQUESTS: readonly [name: string, bytes: Buffer][] = [
  ["wrk", head("GET / HTTP/1.1", "Host: 127.0.0.1:8000")],
  [
    "API client",
    head(
      "POST /v1/orders?expand=lines HTTP/1.1",
      "Host: api.example.com",
      "User-Agent: example-sdk/4.2.0 (linux; x64)",
      "Accept: application/json",
      "Accept-Encoding: gzip, deflate",
      "Authorization: Bearer 0123456789abcdef0123456789abcdef0123456789abcdef",
      "Content-Type: application/json",
      "Content-Length: 0",
      "X-Request-Id: 5b7c0f6e-6d0b-4f0a-9f0e-7a3d2f1c4b5a",
      "Connection: keep-alive",
    ),
  ],
  [
    "browser",
    head(
      "GET /catalog/shoes?page=2&sort=price HTTP/1.1",
      "Host: www.example.com",
      "Connection: keep-alive",
      'sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24"',
      "sec-ch-ua-mobile: ?0",
      'sec-ch-ua-platform: "Linux"',
      "Upgrade-Insecure-Requests: 1",
      "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
      "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
      "Sec-Fetch-Site: same-origin",
      "Sec-Fetch-Mode: navigate",
      "Sec-Fetch-User: ?1",
      "Sec-Fetch-Dest: document",
      "Referer: https://www.example.com/catalog/shoes",
      "Accept-Encoding: gzip, deflate, br, zstd",
      "Accept-Language: en-GB,en;q=0.9,de;q=0.8",
      "Cookie: session=0123456789abcdef0123456789abcdef; consent=1; cart=eyJpdGVtcyI6WzEsMiwzXX0; theme=dark",
    ),
  ],
  [
    "60 fields",
    head("GET / HTTP/1.1", "Host: a", ...Array.from({ length: 59 }, (_, i) => `X-Field-${i}: value ${i}`)),
  ],
];

const RESPONSES: readonly [name: string, bytes: Buffer][] = [
  ["small", head("HTTP/1.1 200 OK", "Content-Length: 0", "Connection: keep-alive")],
  [
    "API answer",
    head(
      "HTTP/1.1 200 OK",
      "Server: nginx",
      "Date: Sun, 01 Feb 2026 12:00:00 GMT",
      "Content-Type: application/json; charset=utf-8",
      "Content-Length: 0",
      "Connection: keep-alive",
      "Cache-Control: no-store",
      'ETag: W/"5b7c0f6e"',
      "Vary: Accept-Encoding",
      "X-RateLimit-Remaining: 99",
    ),
  ],
];

const OWN = new Uint8Array(16);
OWN[FIELD.host] = 1;
/** Where heads are written to: a socket would flatten and copy them, too. */
const OUT = Buffer.alloc(65_536);
/** Consumes what is made, so that none of it can be optimised away. */
let sink = 0;

const request = new RequestHead(new HeaderList());
const response = new ResponseHead(new HeaderList());

function parseRequest(bytes: Buffer): void {
  sink += parseRequestHead(bytes.toString("latin1"), 0, request, LIMITS);
}

function writeRequest(): void {
  const text = `${request.method} ${request.target} HTTP/1.1\r\nHost: b\r\n${fieldLines(request.headers, OWN)}\r\n`;
  sink += OUT.write(text, "latin1");
}

function parseResponse(bytes: Buffer): void {
  sink += parseResponseHead(bytes.toString("latin1"), 0, response, LIMITS);
}

function writeResponse(): void {
  const text = `${statusLine(response.status, response.reason)}${fieldLines(response.headers, OWN)}Content-Length: 0\r\n\r\n`;
  sink += OUT.write(text, "latin1");
}

function nanoseconds(work: () => void): number {
  const started = process.hrtime.bigint();
  for (let i = 0; i < HEADS_A_ROUND; i++) work();
  return Number(process.hrtime.bigint() - started) / HEADS_A_ROUND;
}

class Wire extends Duplex {
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    sink += chunk.length;
    done();
  }
}

/** Nanoseconds for Node to read a request and answer it with a field and no body, connections kept. */
async function nodeRequest(bytes: Buffer): Promise<number> {
  let answered = 0;
  const server = http.createServer({ keepAliveTimeout: 0 }, (_, answer) => {
    answered++;
    answer.writeHead(200, ["Content-Length", "0"]);
    answer.end();
  });
  const wire = new Wire();
  server.emit("connection", wire);
  await setImmediate();
  const batch = Buffer.concat(Array.from({ length: PIPELINED }, () => bytes));
  const started = process.hrtime.bigint();
  while (answered < NODE_HEADS_A_ROUND) {
    const before = answered;
    wire.push(batch);
    while (answered < before + PIPELINED) await setImmediate();
  }
  const took = Number(process.hrtime.bigint() - started) / answered;
  wire.destroy();
  return took;
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1] as number;
}

const { values: options } = parseArgs({ options: { rounds: { type: "string", default: "7" } } });
const rounds = Number(options.rounds);
if (!(Number.isInteger(rounds) && rounds > 0)) {
  process.stderr.write("--rounds takes a whole number above 0\n");
  process.exit(2);
}

/** Columns of a table, each the median of its rounds; the first round of everything warms up. */
async function measure(columns: Record<string, () => number | Promise<number>>) {
  const raw: Record<string, number[]> = {};
  for (let round = 0; round <= rounds; round++) {
    const order = Object.entries(columns);
    if (round % 2 === 1) order.reverse();
    for (const [name, run] of order) {
      const took = await run();
      if (round > 0) {
        raw[name] ??= [];
        raw[name].push(took);
      }
    }
  }
  return Object.fromEntries(Object.keys(columns).map((name) => [name, Math.round(median(raw[name] ?? []))]));
}

process.stdout.write(`Node ${process.version}, ${rounds} rounds, medians in ns\n`);
const table: Record<string, Record<string, number>> = {};
for (const [name, bytes] of REQUESTS)
  table[`request: ${name} (${bytes.length} B)`] = await measure({
    parse: () => nanoseconds(() => parseRequest(bytes)),
    write: () => {
      parseRequest(bytes);
      return nanoseconds(writeRequest);
    },
    "node:http, read and answer": () => nodeRequest(bytes),
  });
for (const [name, bytes] of RESPONSES)
  table[`response: ${name} (${bytes.length} B)`] = await measure({
    parse: () => nanoseconds(() => parseResponse(bytes)),
    write: () => {
      parseResponse(bytes);
      return nanoseconds(writeResponse);
    },
  });
console.table(table);
if (sink === 0) process.exit(1);
