/**
 * Large bodies through a gateway, checked byte for byte on the far side, with the gateway's peak of memory on the
 * way. Used by a test that is bounded and by a run as long as one likes (bodies-long.ts).
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import {
  createServer,
  type IncomingMessage,
  request as requestPlainly,
  type Server,
  type ServerResponse,
} from "node:http";
import { request as requestSecurely } from "node:https";
import { type AddressInfo, connect } from "node:net";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";

const MIB = 1 << 20;

/** Bytes without a period that a buffer could share; a body is this block again and again. */
const BLOCK = randomBytes(MIB + 7);
const TWICE = Buffer.concat([BLOCK, BLOCK]);

function* piecesOf(bytes: number): Generator<Buffer> {
  for (let left = bytes; left > 0; left -= BLOCK.length)
    yield left >= BLOCK.length ? BLOCK : BLOCK.subarray(0, left);
}

/** Sees to it that what arrives is what was sent. */
class Checker {
  bytes = 0;

  take(piece: Buffer): void {
    for (let at = 0; at < piece.length; ) {
      const from = (this.bytes + at) % BLOCK.length;
      const part = piece.subarray(at, at + BLOCK.length);
      assert.ok(
        part.equals(TWICE.subarray(from, from + part.length)),
        `other bytes after ${this.bytes + at}`,
      );
      at += part.length;
    }
    this.bytes += piece.length;
  }
}

/** A reader that rests after every so many bytes, or never. */
type Pace = number | null;
const REST_MS = 2;

async function check(source: Readable, restAfter: Pace): Promise<number> {
  const checker = new Checker();
  let next = restAfter ?? Number.POSITIVE_INFINITY;
  for await (const piece of source as AsyncIterable<Buffer>) {
    checker.take(piece);
    if (checker.bytes < next) continue;
    next = checker.bytes + (restAfter as number);
    await new Promise((resolve) => setTimeout(resolve, REST_MS));
  }
  return checker.bytes;
}

/** Way of a body: to the upstream or to the client; how its end is known; how its reader reads. */
export interface Stream {
  readonly way: "up" | "down";
  readonly framing: "length" | "chunked" | "close";
  /** Bytes after which the reader rests for a moment; null for a reader that never does. */
  readonly restAfter: Pace;
}

/** An upstream that takes and gives bodies. */
export class StreamOrigin implements AsyncDisposable {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<StreamOrigin> {
    const server = createServer((incoming, response) => void answer(incoming, response).catch(() => {}));
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new StreamOrigin(server);
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** `/up?rest=N` says how much came; `/down?bytes=N&framing=F` sends so much. */
async function answer(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
  const { pathname, searchParams } = new URL(incoming.url as string, "http://origin");
  if (pathname === "/up") {
    const restAfter = Number(searchParams.get("rest"));
    response.end(String(await check(incoming, restAfter > 0 ? restAfter : null)));
    return;
  }
  const bytes = Number(searchParams.get("bytes"));
  const framing = searchParams.get("framing");
  if (framing === "length") response.setHeader("content-length", bytes);
  else if (framing === "chunked") response.setHeader("transfer-encoding", "chunked");
  else response.removeHeader("transfer-encoding");
  if (framing === "close") {
    response.useChunkedEncodingByDefault = false;
    response.shouldKeepAlive = false;
  }
  await pipeline(Readable.from(piecesOf(bytes)), response);
}

/** Sends one body through the gateway on the port, which may speak TLS. Returns the number of bytes that arrived. */
export async function stream(
  port: number,
  { way, framing, restAfter }: Stream,
  bytes: number,
  secure = false,
): Promise<number> {
  const request = secure ? requestSecurely : requestPlainly;
  const place = { host: "127.0.0.1", port, agent: false, rejectUnauthorized: false } as const;
  if (way === "up") {
    const headers = framing === "length" ? { "content-length": bytes } : { "transfer-encoding": "chunked" };
    const path = `/up?rest=${restAfter ?? 0}`;
    const outgoing = request({ ...place, path, method: "POST", headers });
    const answered = once(outgoing, "response") as Promise<[IncomingMessage]>;
    await pipeline(Readable.from(piecesOf(bytes)), outgoing);
    const [incoming] = await answered;
    return Number((await incoming.toArray()).join(""));
  }
  const path = `/down?bytes=${bytes}&framing=${framing}`;
  if (framing === "close") return check(await overHttp10(port, path), restAfter);
  const outgoing = request({ ...place, path }).end();
  const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
  return check(incoming, restAfter);
}

/** The body of an answer in HTTP/1.0, which ends with the connection. */
async function overHttp10(port: number, path: string): Promise<Readable> {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.write(`GET ${path} HTTP/1.0\r\n\r\n`);
  let head = Buffer.alloc(0);
  for (;;) {
    await once(socket, "readable");
    head = Buffer.concat([head, socket.read() ?? Buffer.alloc(0)]);
    const end = head.indexOf("\r\n\r\n");
    if (end < 0) continue;
    socket.unshift(head.subarray(end + 4));
    return socket;
  }
}

const bytesOf = (status: string, field: string): number =>
  Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) * 1024;

/** Resident memory of a process, now and at its peak since `forgetPeak`. */
export async function memoryOf(pid: number): Promise<{ readonly now: number; readonly peak: number }> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return { now: bytesOf(status, "VmRSS"), peak: bytesOf(status, "VmHWM") };
}

/** From now on the peak is that of what follows (`proc(5)`, `clear_refs`). */
export const forgetPeak = (pid: number): Promise<void> => writeFile(`/proc/${pid}/clear_refs`, "5");
