/**
 * The way back: what the upstream, a plugin or the gateway answers goes through the filters to the client.
 * Text of one tick is gathered and leaves in one write.
 */
import { performance } from "node:perf_hooks";
import { decimal, type ErrorForm, errorForm, errorReply, type Reply } from "@gatehouse/sdk";
import { GatewayError } from "../errors.ts";
import type { ResponseHead } from "../http1/head.ts";
import type { HeaderList } from "../http1/headers.ts";
import { fieldLines, JOIN_MAX, lastChunk, statusLine } from "../http1/write.ts";
import { asBuffer } from "./exchange.ts";
import { finish, leaveUpstream } from "./finish.ts";
import { attempt, whenDone } from "./handle.ts";
import type { ProxyExchange } from "./proxy-exchange.ts";
import { responseHead } from "./response-head.ts";
import { runBodyFilter, runHeaderFilter, runResponse } from "./run.ts";
import { BodySender, WholeBody } from "./whole-body.ts";

const EMPTY = Buffer.alloc(0);
const NONE = new Uint8Array(16);

/** A 1xx answer is passed on (RFC 9110 section 15.2), unless the client speaks HTTP/1.0. */
export function inform(x: ProxyExchange, head: ResponseHead): void {
  if (x.request.minor === 0 || x.headSent) return;
  if (head.status === 100) {
    x.invited = true;
    x.client.invite();
    // Told to go on, the client has the time that its body takes.
    if (x.upstream !== null && !x.client.body.ended) x.upstream.deadline = Number.POSITIVE_INFINITY;
  }
  const text = `${statusLine(head.status, head.reason)}${fieldLines(head.headers, NONE)}\r\n`;
  if (!x.client.writeText(text)) x.upstream?.pause();
}

export function receiveHead(x: ProxyExchange, head: ResponseHead): void {
  takeHead(x, head);
  if (x.chain.response.length > 0) collect(x);
  else attempt(x, filterHead);
}

/** The response is gathered for the `response` phase. */
function collect(x: ProxyExchange): void {
  const { bodyBufferMaxBytes } = x.plane.settings;
  x.collected = new WholeBody(x.plane.bodies, {
    onRoom: () => x.upstream?.resume(),
    onStorageFailed: (error) => fail(x, error),
  });
  // A body that HEAD asks about does not come.
  if (!x.request.isHead && x.response.contentLength > bodyBufferMaxBytes)
    fail(x, tooLarge(bodyBufferMaxBytes));
}

const tooLarge = (max: number) =>
  new GatewayError("response_too_large", `response over ${max} bytes, and a plugin wants it whole`);

/** What the upstream says becomes the response. */
export function takeHead(x: ProxyExchange, head: ResponseHead): void {
  x.upstreamHeadAt = performance.now();
  const { response } = x;
  response.status = head.status;
  response.reason = head.reason;
  response.reasonStatus = head.status;
  response.minor = head.minor;
  response.source = "service";
  response.contentLength = head.contentLength;
  // The lists change places: the connection may parse its next head while these fields are still in use.
  const fields = head.headers;
  head.headers = response.headers;
  response.headers = fields;
  for (const option of head.connectionOptions ?? []) fields.remove(option);
  // A length may be that of a body that does not come (RFC 9110 sections 8.6 and 15.4.5).
  response.unsent = x.request.method === "HEAD" || head.status === 204 || head.status === 304;
}

/** Runs header filters and begins the response. */
function filterHead(x: ProxyExchange): void {
  const waiting = x.chain.headerFilter.length === 0 ? undefined : runHeaderFilter(x);
  if (waiting === undefined) return beginResponse(x);
  x.upstream?.pause();
  whenDone(x, waiting, () => {
    beginResponse(x);
    flush(x);
  });
}

/** Begins a streamed response with its head; what came meanwhile follows. */
function beginResponse(x: ProxyExchange): void {
  const { request, response, client } = x;
  const { status } = response;
  const bodiless = request.isHead || status === 204 || status === 304 || status < 200;
  const filtered = x.chain.changesBody;
  let framing = "";
  x.bodiless = bodiless;
  // Plugins have made of it an answer whose body is waited for.
  if (response.unsent && !bodiless) response.contentLength = 0;
  if (bodiless) {
    if (response.contentLength >= 0 && status !== 204 && !filtered)
      framing = `Content-Length: ${decimal(response.contentLength)}\r\n`;
  } else if (response.contentLength >= 0 && !filtered) {
    framing = `Content-Length: ${decimal(response.contentLength)}\r\n`;
    x.owed = response.contentLength;
  } else if (request.minor === 1) {
    x.chunkedOut = true;
    framing = "Transfer-Encoding: chunked\r\n";
  } else {
    x.endsAtClose = true; // HTTP/1.0
    client.keepAlive = false;
  }
  x.out = responseHead(x, framing);
  x.headSent = true;
  x.ready = true;
  if (!client.blocked) x.upstream?.resume();
  pump(x);
}

/** A piece of the upstream's body. */
export function receiveBody(x: ProxyExchange, piece: Buffer): void {
  if (x.ready && x.held.length === 0) {
    if (x.chain.bodyFilter.length === 0) return emit(x, piece);
    const own = Buffer.from(piece); // a filter may keep what it gets
    return attempt(x, () => filterPiece(x, own));
  }
  const { collected } = x;
  if (collected === null) return x.held.add(piece);
  const max = x.plane.settings.bodyBufferMaxBytes;
  if (collected.length + piece.length > max) fail(x, tooLarge(max));
  else if (!collected.add(piece)) x.upstream?.pause();
}

export function receiveEnd(x: ProxyExchange, trailers: HeaderList | null): void {
  x.upstream = null;
  if (x.finished) return;
  x.responseEnded = true;
  x.trailers = trailers;
  const { collected } = x;
  if (collected !== null) {
    if (!collected.spilled) return attempt(x, () => respondCollected(x, collected.bytes));
    return whenDone(x, collected.load(), (body) => respondCollected(x, body));
  }
  if (x.ready) attempt(x, pump);
}

/**
 * What waited goes through, then the end if it has come. A client that takes nothing stops it. Whoever is not in the
 * middle of a read, whose end would bring the flush, sees to that afterwards.
 */
function pump(x: ProxyExchange): void {
  if (x.ready && x.held.length > 0) {
    if (x.client.blocked) return;
    const held = x.held.take();
    if (x.chain.bodyFilter.length === 0) emit(x, held);
    else filterPiece(x, held);
  }
  if (x.ready && x.responseEnded) endBody(x);
}

function pumpOut(x: ProxyExchange): void {
  pump(x);
  flush(x);
}

function filterPiece(x: ProxyExchange, piece: Buffer): void {
  const made = runBodyFilter(x, piece, false);
  if (!(made instanceof Promise)) return emit(x, made);
  x.ready = false;
  x.upstream?.pause();
  whenDone(x, made, (out) => {
    emit(x, out);
    x.ready = true;
    if (!x.client.blocked) x.upstream?.resume();
    pumpOut(x);
  });
}

function endBody(x: ProxyExchange): void {
  x.ready = false;
  if (x.chain.bodyFilter.length === 0) return writeEnd(x);
  const finishWith = (tail: Buffer) => {
    emit(x, tail);
    writeEnd(x);
  };
  const tail = runBodyFilter(x, EMPTY, true);
  if (tail instanceof Promise) whenDone(x, tail, finishWith);
  else finishWith(tail);
}

/** Hands a piece to the client, gathered with what else this tick brings. Hot; guarded by bench/bench.ts. */
function emit(x: ProxyExchange, piece: Buffer): void {
  const { length } = piece;
  if (length === 0 || x.bodiless) return;
  x.responseBytes += length;
  if (x.owed > 0) x.owed -= length;
  if (length <= JOIN_MAX && x.out.length <= JOIN_MAX) {
    if (x.chunkedOut) x.out += `${length.toString(16)}\r\n${piece.toString("latin1")}\r\n`;
    else x.out += piece.toString("latin1");
    return;
  }
  const head = x.out;
  x.out = "";
  if (!x.client.writePiece(head, piece, x.chunkedOut)) x.upstream?.pause();
}

/** Writes what was gathered. */
export function flush(x: ProxyExchange): void {
  if (x.out === "") return;
  const text = x.out;
  x.out = "";
  if (!x.client.writeText(text)) x.upstream?.pause();
}

export function clientDrained(x: ProxyExchange): void {
  if (x.ready) attempt(x, pumpOut);
  else if (x.answerer !== null) answerOn(x);
  // Before the head, nothing but interim answers can have filled the way.
  if ((x.ready || x.response.status === 0) && !x.client.blocked) x.upstream?.resume();
}

function writeEnd(x: ProxyExchange): void {
  // The next answer would be read as the rest of this one.
  if (x.owed > 0) return fail(x, new GatewayError("internal", `${x.owed} bytes of a response never came`));
  if (x.chunkedOut) x.out += lastChunk(x.trailers);
  flush(x);
  finish(x);
}

/** The `response` phase: the whole response is there. */
function respondCollected(x: ProxyExchange, body: Buffer): void {
  x.response.body = body;
  const outcome = runResponse(x);
  const go = (answer: Reply | undefined) => {
    if (answer !== undefined) reply(x, answer);
    else answerFiltered(x); // other plugins of the chain have their filters
  };
  if (outcome instanceof Promise) whenDone(x, outcome, go);
  else go(outcome);
}

/** A plugin answers. */
export function reply(x: ProxyExchange, answer: Reply): void {
  const { response } = x;
  leaveUpstream(x);
  response.source = "exit";
  response.status = answer.status;
  response.reason = "";
  response.headers.clear();
  for (const [name, value] of answer.headers) response.headers.add(name, value);
  response.body = typeof answer.body === "string" ? Buffer.from(answer.body) : asBuffer(answer.body);
  answerFiltered(x);
}

/** Something failed: the client gets the error's message, or a connection that ends early. */
export function fail(x: ProxyExchange, error: GatewayError): void {
  if (x.finished) return;
  x.plane.onError(x, error);
  leaveUpstream(x);
  // The server says that it gives up the connection (RFC 9110 section 15.5.9).
  if (error.code === "request_timeout") x.client.keepAlive = false;
  if (x.headSent) {
    // Too late for a status. A response that is cut short must not look complete, and where the end of the
    // connection is the end of the body, nothing but a reset tells.
    if (x.endsAtClose) x.client.wire.reset();
    else flush(x);
    finish(x, true);
    return;
  }
  const { response, request } = x;
  const { status, message } = error.kind;
  // A filter that fails while an error is sent is not asked again.
  const again = response.source === "error" && response.status !== 0;
  x.error = error.code;
  const more: Record<string, string> =
    error.retryAfterS === null ? {} : { "Retry-After": String(error.retryAfterS) };
  const page = errorReply(request, status, message, more, formOf(x, error));
  response.source = "error";
  response.status = page.status;
  response.reason = "";
  response.headers.clear();
  for (const [name, value] of page.headers) response.headers.add(name, value);
  response.body = Buffer.from(page.body as string);
  if (again) answerWhole(x);
  else attempt(x, answerFiltered);
}

/** What the client accepts, else the kind of error's own form (Kong's two kinds of error pages). */
function formOf({ request, plane }: ProxyExchange, { kind }: GatewayError): ErrorForm {
  const accept = request.headers.get("accept");
  if (accept !== undefined) return errorForm(accept);
  if ((kind as { json?: boolean }).json === true) return "application/json";
  const type = request.headers.get("content-type");
  return type === undefined ? (plane.settings.errorDefaultType as ErrorForm) : errorForm(type);
}

/** Runs header and body filters over an answer that is there whole, then sends it. */
function answerFiltered(x: ProxyExchange): void {
  const { chain } = x;
  const waiting = chain.headerFilter.length === 0 ? undefined : runHeaderFilter(x);
  if (chain.bodyFilter.length > 0) {
    x.suspended = true;
    whenDone(
      x,
      Promise.resolve(waiting).then(() => filterWhole(x)),
      () => answerWhole(x),
    );
  } else if (waiting !== undefined) whenDone(x, waiting, () => answerWhole(x));
  else answerWhole(x);
}

async function filterWhole(x: ProxyExchange): Promise<void> {
  const body = x.response.body as Buffer;
  const first = body.length > 0 ? await runBodyFilter(x, body, false) : EMPTY;
  x.response.body = Buffer.concat([first, await runBodyFilter(x, EMPTY, true)]);
}

/**
 * Sends head and body at once, or what of the body lies on disk as the client takes it. A body that is in memory waits
 * there for a client that is slow to take it, as far as the store has room; what is beyond goes to disk before it goes
 * out.
 */
export function answerWhole(x: ProxyExchange): void {
  const { request, response, client, collected, plane } = x;
  const { bodies } = plane;
  const body = (response.body ?? EMPTY) as Buffer;
  const bodiless = response.status === 204 || response.status === 304 || response.status < 200;
  const unchanged = !response.bodyReplaced && x.chain.bodyFilter.length === 0;
  const stored = collected?.spilled && (unchanged || response.body === null) ? collected : null;
  const goes = !bodiless && !request.isHead;
  // What was collected in memory and left as it is has its room already.
  if (goes && body.length > JOIN_MAX && !(unchanged && collected !== null) && !bodies.hasRoom(body.length))
    return storeAnswer(x, body);
  const size = stored?.length ?? body.length;
  const length =
    request.isHead && response.source === "service" && !response.bodyReplaced ? response.contentLength : size;
  const head = responseHead(x, bodiless || length < 0 ? "" : `Content-Length: ${decimal(length)}\r\n`);
  x.headSent = true;
  if (!goes) client.writeText(head);
  else {
    x.responseBytes += size;
    if (stored !== null) {
      response.body = null;
      return answerStored(x, stored, head);
    }
    if (!client.writeWhole(head, body)) {
      bodies.held += body.length;
      client.whenTaken(() => {
        bodies.held -= body.length;
      });
    }
  }
  finish(x);
}

/** Where memory is short, a body that plugins made goes to disk first, and from there to the client. */
function storeAnswer(x: ProxyExchange, body: Buffer): void {
  const stored = WholeBody.toDisk(x.plane.bodies, body);
  x.collected?.release();
  x.collected = stored;
  x.response.body = null;
  whenDone(x, stored.stored(), () => answerWhole(x));
}

/** A body that lies on disk goes to the client. */
function answerStored(x: ProxyExchange, body: WholeBody, head: string): void {
  body.unload();
  x.answerer = new BodySender(body, (piece) => x.client.writePiece("", piece, false));
  if (x.client.writeText(head)) answerOn(x);
}

function answerOn(x: ProxyExchange): void {
  x.answerer?.run().then(
    (done) => {
      if (done) attempt(x, finish);
    },
    (error: GatewayError) => fail(x, error),
  );
}

/** The client has left, or what it sends is not a request any more. */
export function clientGone(x: ProxyExchange, error: GatewayError): void {
  if (x.finished) return;
  if (error.code !== "client_closed" && error.code !== "client_slow") return fail(x, error);
  x.plane.onError(x, error);
  leaveUpstream(x);
  if (x.response.status === 0) x.response.status = error.kind.status;
  finish(x, true);
}
