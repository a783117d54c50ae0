/**
 * Fuzzing of the HTTP/1.1 codec: makes connections' worth of bytes, and holds each against four rules. Node's
 * strict parser agrees; pieces do not matter; what is forwarded is read by Node as exactly the message that
 * came in; nothing throws.
 */
import { METHODS } from "node:http";
import fc from "fast-check";
import { FIELD, HeaderList } from "../../src/http1/headers.ts";
import { fieldLines, lastChunk, statusLine } from "../../src/http1/write.ts";
import { disagreement, same, show } from "../http1/compare.ts";
import {
  ACCEPTED_REQUESTS,
  ACCEPTED_RESPONSES,
  REFUSED_REQUESTS,
  REFUSED_RESPONSES,
} from "../http1/corpus/corpus.ts";
import {
  cut,
  everyByte,
  type Fields,
  type Message,
  type Reading,
  readRequests,
  readResponse,
} from "../http1/harness.ts";
import { nodeRequests, nodeResponses } from "../http1/oracle.ts";
import { Random } from "../http1/random.ts";
import { grammatical } from "./http1-grammar.ts";
import { NEXT, type Side, type Stream, stream } from "./http1-stream.ts";

/** Pieces that HTTP is made of, and what attacks are made of. */
const DICTIONARY = [
  "\r\n", "\n", "\r", "\r\n\r\n", "\n\n", "\r\r\n", " ", "\t", "\0", "\x0b", "\x7f", "\x80", "\xff", ":", ",", ";",
  "=", '"', "\\", "/", "?", "#", "%", "*", "0", "1", "a", "+", "-", "_", "0x", "\r\n ", "\r\n\t", " :", ": ",
  "Content-Length: 5\r\n", "Content-Length: 0\r\n", "Content-Length:", "Transfer-Encoding: chunked\r\n",
  "Transfer-Encoding:", "chunked", "identity", "gzip, ", "Connection: close\r\n", "Connection: keep-alive\r\n",
  "Host: b\r\n", "Expect: 100-continue\r\n", "Upgrade: x\r\n", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "GET ", "POST ",
  "HEAD ", "OPTIONS ", "http://b/", "0\r\n\r\n", "1\r\nx\r\n", "5\r\n", "ffffffff", "10000000000000000", ";a=b",
  ';a="b"', "A: b\r\n", "HTTP/1.1 100 Continue\r\n\r\n", "200 OK", "204", "304", "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
]; // biome-ignore format: one word a line would hide the shape

const SEEDS = {
  request: [...ACCEPTED_REQUESTS, ...REFUSED_REQUESTS].map(({ bytes }) => bytes),
  response: [...ACCEPTED_RESPONSES, ...REFUSED_RESPONSES].map(({ bytes }) => bytes),
};
/** Long seeds would take most of the time. */
for (const side of ["request", "response"] as const)
  SEEDS[side] = SEEDS[side].filter((bytes) => bytes.length < 1500);

/** A message of the corpus, changed in one to five places. */
function mutate(side: Side, random: Random): Stream {
  let text = random.pick(SEEDS[side]);
  for (let rounds = 1 + random.below(5); rounds > 0; rounds--) {
    const at = random.below(text.length + 1);
    const to = Math.min(text.length, at + 1 + random.below(random.below(4) === 0 ? 60 : 6));
    switch (random.below(7)) {
      case 0:
        text = text.slice(0, at) + String.fromCharCode(random.below(256)) + text.slice(at + 1);
        break;
      case 1:
        text = text.slice(0, at) + text.slice(to);
        break;
      case 2:
        text = text.slice(0, to) + text.slice(at);
        break;
      case 3:
        text = text.slice(0, at) + text.slice(at, to).toUpperCase() + text.slice(to);
        break;
      case 4: {
        const other = random.pick(SEEDS[side]);
        text = text.slice(0, at) + other.slice(random.below(other.length));
        break;
      }
      default:
        text = text.slice(0, at) + random.pick(DICTIONARY) + text.slice(at);
    }
  }
  return stream(side, text, random.below(8) === 0 ? "HEAD" : "GET");
}

/** Holds streams against the rules. Returns what is wrong with the first that breaks one, or null. */
async function firstFault(streams: readonly Stream[], seed: number): Promise<string | null> {
  const requests = streams.filter(({ side }) => side === "request");
  const responses = streams.filter(({ side }) => side === "response");
  const nodes = [
    ...(await nodeRequests(requests.map(({ bytes }) => bytes))),
    ...(await nodeResponses(responses)),
  ];
  const random = new Random(seed);
  const accepted: { stream: Stream; message: Message; forwarded: Buffer }[] = [];
  for (const [i, stream] of [...requests, ...responses].entries()) {
    const node = nodes[i]!;
    const ours = readStream(stream, [stream.bytes]);
    const wrong =
      disagreement(ours, node, stream.side === "response") ?? dependsOnPieces(stream, ours, random);
    if (wrong !== null) return report(seed, stream, wrong, ours, node);
    for (const message of ours.messages)
      accepted.push({ stream, message, forwarded: forward(stream.side, message) });
  }
  return await forwardingFault(accepted, seed);
}

function readStream({ side, method }: Stream, pieces: readonly Buffer[]): Reading {
  return side === "request" ? readRequests(pieces) : readResponse(pieces, method);
}

function dependsOnPieces(stream: Stream, whole: Reading, random: Random): string | null {
  const { bytes } = stream;
  const at = 1 + random.below(bytes.length);
  for (const pieces of [cut(bytes, at), cut(bytes, at, at + 1 + random.below(5)), everyByte(bytes)]) {
    const reading = readStream(stream, pieces);
    // A response that ends within a line may end before the fault in it is looked at.
    if (stream.side === "response" && [reading.end, whole.end].includes("partial")) continue;
    if (!same(reading, whole)) return `in pieces of ${pieces.map((piece) => piece.length)}: ${show(reading)}`;
  }
  return null;
}

const HOST_TOO = new Uint8Array(16);
HOST_TOO[FIELD.host] = 1;

/** The message as the gateway would send it on. */
function forward(side: Side, message: Message): Buffer {
  const fields = fieldLines(list(message.fields), HOST_TOO);
  const [first = "", ...rest] = message.line.split(" ");
  const start =
    side === "request"
      ? `${message.line} HTTP/1.1\r\nHost: h\r\n`
      : statusLine(Number(first), rest.join(" "));
  if (side === "response" && /^(1..|204|304)/.test(first))
    return Buffer.from(`${start}${fields}\r\n`, "latin1");
  const { body } = message;
  const chunk = body === "" ? "" : `${body.length.toString(16)}\r\n${body}\r\n`;
  const framed =
    message.trailers.length > 0
      ? `Transfer-Encoding: chunked\r\n\r\n${chunk}${lastChunk(list(message.trailers))}`
      : `Content-Length: ${body.length}\r\n\r\n${body}`;
  return Buffer.from(`${start}${fields}${framed}`, "latin1");
}

function list(fields: Fields): HeaderList {
  const made = new HeaderList();
  for (const [name, value] of fields) made.add(name, value);
  return made;
}

/** What the gateway sends on must be one message to whoever reads it, with the body that came in. */
async function forwardingFault(
  accepted: readonly { stream: Stream; message: Message; forwarded: Buffer }[],
  seed: number,
): Promise<string | null> {
  const requests = accepted.filter(({ stream }) => stream.side === "request");
  const responses = accepted.filter(({ stream }) => stream.side === "response");
  const nodes = [
    ...(await nodeRequests(requests.map(({ forwarded }) => Buffer.concat([forwarded, Buffer.from(NEXT)])))),
    ...(await nodeResponses(responses.map(({ forwarded }) => ({ bytes: forwarded })))),
  ];
  for (const [i, { stream, message, forwarded }] of [...requests, ...responses].entries()) {
    const node = nodes[i]!;
    const expected = stream.side === "request" ? 2 : 1;
    if (!METHODS.includes(message.line.split(" ", 1)[0] as string) && stream.side === "request") continue;
    if (
      node.messages.length === expected &&
      node.messages[0]?.body === message.body &&
      node.end !== "refused"
    )
      continue;
    return report(seed, { ...stream, bytes: forwarded }, `forwarded from ${show(message)}`, null, node);
  }
  return null;
}

function report(seed: number, stream: Stream, wrong: string, ours: Reading | null, node: unknown): string {
  return [
    `seed ${seed}, ${stream.side}${stream.side === "response" ? ` to ${stream.method}` : ""}: ${wrong}`,
    `hex:   ${stream.bytes.toString("hex")}`,
    `text:  ${show(stream.bytes.toString("latin1"))}`,
    `codec: ${show(ours)}`,
    `Node:  ${show(node)}`,
  ].join("\n");
}

const BATCH = 200;

/** Runs streams in batches until `count` were tried. Returns the first fault, or null. */
async function fuzz(seed: number, count: number, make: (seed: number, size: number) => Stream[]) {
  for (let done = 0; done < count; done += BATCH) {
    // Every batch has a seed of its own, so that a fault is found again without what came before it.
    const batchSeed = (seed + done) >>> 0;
    const fault = await firstFault(make(batchSeed, Math.min(BATCH, count - done)), batchSeed);
    if (fault !== null) return fault;
  }
  return null;
}

export function fuzzMutations(side: Side, seed: number, count: number): Promise<string | null> {
  return fuzz(seed, count, (batchSeed, size) => {
    const random = new Random(batchSeed);
    return Array.from({ length: size }, () => mutate(side, random));
  });
}

export function fuzzGrammar(side: Side, seed: number, count: number): Promise<string | null> {
  return fuzz(seed, count, (batchSeed, size) =>
    fc.sample(grammatical(side), { seed: batchSeed | 0, numRuns: size }),
  );
}
