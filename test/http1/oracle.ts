/**
 * Node's own parser as a second opinion, in its strict mode, through the public API: streams in memory in place
 * of sockets, so that thousands of messages a second can be compared.
 */
import http, { type IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { setImmediate } from "node:timers/promises";
import type { Fields, Message, Reading } from "./harness.ts";

/** Turns of the event loop after which everything that was pushed has come out at the other end. */
const SETTLED = 5;

class Wire extends Duplex {
  /** Messages in the order in which their heads came. */
  readonly begun: { readonly message: Message; complete: boolean }[] = [];
  deaf = false;
  /** Code of Node's error; empty while there is none. */
  refused = "";

  override _read(): void {}

  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done();
  }
}

/**
 * Fields after which Node may read no further message for reasons of its own: it waits for another protocol, takes
 * Proxy-Connection for Connection, and heeds Connection in trailers. RFC 9110 (7.8, 7.6.1, 6.5.1) asks for none of it.
 */
const DEAFENING = new Set(["upgrade", "proxy-connection"]);
const DEAFENING_IN_TRAILERS = new Set([...DEAFENING, "connection"]);

function pairs(flat: readonly string[]): Fields {
  const fields: Fields = [];
  // Node hands out latin1 strings; surrounding white space is gone already.
  for (let i = 0; i < flat.length; i += 2) fields.push([flat[i] as string, flat[i + 1] as string]);
  return fields;
}

function collect(wire: Wire, incoming: IncomingMessage, line: string, keepAlive: boolean, done: () => void) {
  const message: Message = {
    line,
    minor: incoming.httpVersionMinor,
    fields: pairs(incoming.rawHeaders),
    body: "",
    trailers: [],
    keepAlive,
  };
  const entry = { message, complete: false };
  wire.begun.push(entry);
  incoming.on("data", (piece: Buffer) => {
    message.body += piece.toString("latin1");
  });
  incoming.on("end", () => {
    if (!incoming.complete) return;
    message.trailers = pairs(incoming.rawTrailers);
    wire.deaf ||=
      message.fields.some(([name]) => DEAFENING.has(name.toLowerCase())) ||
      message.trailers.some(([name]) => DEAFENING_IN_TRAILERS.has(name.toLowerCase()));
    entry.complete = true;
    done();
  });
  incoming.on("error", () => {}); // a message cut short stays `partial`
}

const server = http.createServer({
  insecureHTTPParser: false,
  requireHostHeader: false, // checked above the parser; the corpus covers it
  maxHeaderSize: 256 * 1024,
  keepAliveTimeout: 0,
  shouldUpgradeCallback: () => false, // the gateway reads on, too: an upgrade is an offer that it may decline
});
server.maxHeadersCount = 0;
server.timeout = 0;
server.headersTimeout = 0;
server.requestTimeout = 0;
for (const event of ["request", "checkContinue", "checkExpectation"] as const)
  server.on(event, (request, response) => {
    const wire = request.socket as unknown as Wire;
    collect(wire, request, `${request.method} ${target(request)}`, response.shouldKeepAlive, () =>
      response.end(),
    );
  });
server.on("connect", (request: IncomingMessage) => {
  const wire = request.socket as unknown as Wire;
  const message = bodiless(`${request.method} ${request.url}`, request);
  wire.begun.push({ message, complete: true });
});
server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
  const wire = socket as unknown as Wire;
  wire.refused ||= error.code ?? error.message;
});

/** The origin form of an absolute target, which is what the codec hands on (RFC 9112 section 3.2.2). */
function target({ url = "", method }: IncomingMessage): string {
  const match = /^https?:\/\/[^/?]+/i.exec(url);
  if (match === null) return url;
  const rest = url.substring(match[0].length);
  if (rest === "" && method === "OPTIONS") return "*";
  return rest.startsWith("/") ? rest : `/${rest}`;
}

export interface NodeReading extends Reading {
  /** Node's code of the error; empty if there is none. */
  readonly reason: string;
  /** Whether Node may have stopped reading after the last message although the next one is sound. */
  readonly deaf: boolean;
}

function bodiless(
  line: string,
  { httpVersionMinor: minor, rawHeaders }: Pick<IncomingMessage, "httpVersionMinor" | "rawHeaders">,
): Message {
  return { line, minor, fields: pairs(rawHeaders), body: "", trailers: [], keepAlive: false };
}

function reading(wire: Wire): NodeReading {
  const open = wire.begun.findIndex(({ complete }) => !complete);
  const messages = (open < 0 ? wire.begun : wire.begun.slice(0, open)).map(({ message }) => message);
  const partial = wire.begun[open]?.message ?? null;
  const end = wire.refused !== "" ? "refused" : partial !== null ? "partial" : "open";
  return { messages, end, partial, code: "", reason: wire.refused, deaf: wire.deaf };
}

/** What Node reads from each of these connections. */
export async function nodeRequests(connections: readonly Buffer[]) {
  const wires = connections.map((bytes) => {
    const wire = new Wire();
    wire.on("error", () => {});
    server.emit("connection", wire);
    wire.push(bytes);
    return wire;
  });
  for (let i = 0; i < SETTLED; i++) await setImmediate();
  const readings = wires.map(reading);
  for (const wire of wires) wire.destroy();
  return readings;
}

/** What Node reads from each of these connections when it has sent one request and the connection then ends. */
export async function nodeResponses(answers: readonly { bytes: Buffer; method?: string }[]) {
  const wires = answers.map(({ bytes, method = "GET" }) => {
    const wire = new Wire();
    const request = http.request({
      method,
      host: "test",
      createConnection: () => wire as never,
      maxHeaderSize: 256 * 1024,
      insecureHTTPParser: false,
    });
    request.maxHeadersCount = 0;
    request.on("information", (info) => {
      wire.begun.push({
        message: bodiless(`${info.statusCode} ${info.statusMessage}`, info),
        complete: true,
      });
    });
    request.on("response", (response) => {
      collect(wire, response, `${response.statusCode} ${response.statusMessage}`, false, () => {});
    });
    request.on("upgrade", (response, socket) => {
      wire.refused = "UPGRADE";
      response.destroy();
      socket.destroy();
    });
    request.on("error", (error: NodeJS.ErrnoException) => {
      if (wire.refused === "" && error.code?.startsWith("HPE_")) wire.refused = error.code;
    });
    wire.on("error", () => {});
    request.end();
    return { wire, bytes };
  });
  await setImmediate();
  for (const { wire, bytes } of wires) {
    wire.push(bytes);
    wire.push(null);
  }
  for (let i = 0; i < SETTLED; i++) await setImmediate();
  const readings = wires.map(({ wire }) => reading(wire));
  for (const { wire } of wires) wire.destroy();
  return readings;
}
