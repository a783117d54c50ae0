/** One connection's worth of bytes for the fuzzers of the HTTP/1.1 codec. */

export type Side = "request" | "response";

/**
 * Follows every stream of requests: it shows where the codec believes the next message to start, and its line
 * ends make either parser decide about a line that the stream left unfinished.
 */
export const NEXT = "GET /next HTTP/1.1\r\nHost: n\r\n\r\n";

export interface Stream {
  readonly side: Side;
  readonly bytes: Buffer;
  /** Method of the request that a response answers. */
  readonly method: string;
}

export function stream(side: Side, text: string, method: string): Stream {
  return { side, bytes: Buffer.from(side === "request" ? text + NEXT : text, "latin1"), method };
}
