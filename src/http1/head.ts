/**
 * What the head of a message says. The parser fills it (parse.ts, field-lines.ts); it is valid once that has returned an
 * end. A connection has one, and uses it again for each message.
 */
import type { ErrorCode } from "../errors.ts";
import type { HeaderList } from "./headers.ts";

/** Bounds of one head. */
export interface HeadLimits {
  /** Bytes of the whole head, from the first of the start line to the empty line. */
  readonly maxHeadBytes: number;
  readonly maxHeaders: number;
  readonly maxUrlBytes: number;
}

/** The head has not ended yet. */
export const INCOMPLETE = 0;

/** What both kinds of head say about the message. Filled by the parser; valid after it returned an end. */
export class Head {
  /** Replaced when somebody keeps the fields beyond the message: then the parser goes on with another list. */
  headers: HeaderList;
  /** Minor version: 0 or 1. */
  minor = 1;
  /** Bytes of the body as declared; -1 if no length was. */
  contentLength = -1;
  chunked = false;
  /** Whether the sender keeps the connection (RFC 9112 section 9.3). */
  keepAlive = true;
  /** Names listed in Connection beyond close and keep-alive, lower-case; null if none. */
  connectionOptions: string[] | null = null;
  /** Whether Connection lists `close`, and `keep-alive`. */
  saysClose = false;
  saysKeepAlive = false;
  /** Why parsing ended with -1. */
  error: ErrorCode = "bad_request";
  errorDetail = "";

  constructor(headers: HeaderList) {
    this.headers = headers;
  }

  reset(): void {
    this.headers.clear();
    this.minor = 1;
    this.contentLength = -1;
    this.chunked = false;
    this.keepAlive = true;
    this.connectionOptions = null;
    this.saysClose = false;
    this.saysKeepAlive = false;
  }

  refuse(error: ErrorCode, detail: string): -1 {
    this.error = error;
    this.errorDetail = detail;
    return -1;
  }
}

export class RequestHead extends Head {
  method = "";
  /** The request target as sent. */
  target = "";
  /** Authority of an absolute target, which then stands for Host; null for the origin form. */
  authority: string | null = null;
  /** Value of the one Host field; null if there is none (HTTP/1.0 only). */
  host: string | null = null;
  expectContinue = false;
  /** Whether an absolute target of `https` was asked for. */
  secureTarget = false;

  override reset(): void {
    super.reset();
    // What is refused half read must not be taken for the request before it.
    this.method = "";
    this.target = "";
    this.authority = null;
    this.host = null;
    this.expectContinue = false;
    this.secureTarget = false;
  }
}

export class ResponseHead extends Head {
  status = 0;
  reason = "";
}
