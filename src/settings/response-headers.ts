/** Which of its own headers the gateway adds to responses: Kong's setting `headers`. */
import { UnreadableValue } from "./addresses.ts";

/** Headers that the gateway can add to responses, and the two names that stand for several of them. */
export const RESPONSE_HEADERS = [
  "Server",
  "Via",
  "X-Kong-Proxy-Latency",
  "X-Kong-Upstream-Latency",
  "X-Kong-Response-Latency",
  "X-Kong-Admin-Latency",
  "X-Kong-Upstream-Status",
  "X-Kong-Request-Id",
] as const;
export type ResponseHeader = (typeof RESPONSE_HEADERS)[number];

const TOKENS: Record<string, readonly ResponseHeader[]> = {
  server_tokens: ["Server", "Via"],
  latency_tokens: [
    "X-Kong-Proxy-Latency",
    "X-Kong-Upstream-Latency",
    "X-Kong-Response-Latency",
    "X-Kong-Admin-Latency",
  ],
};

/** The headers that entries stand for. @throws {UnreadableValue} */
export function expandHeaders(entries: readonly string[]): readonly ResponseHeader[] {
  if (entries.length === 1 && entries[0] === "off") return [];
  const wanted = new Set<ResponseHeader>();
  for (const entry of entries) {
    const header = RESPONSE_HEADERS.find((known) => known.toLowerCase() === entry.toLowerCase());
    const several = TOKENS[entry.toLowerCase()];
    if (header) wanted.add(header);
    else if (several) for (const name of several) wanted.add(name);
    else
      throw new UnreadableValue(
        `'${entry}' is not known; allowed: ${[...Object.keys(TOKENS), ...RESPONSE_HEADERS].join(", ")}, off`,
      );
  }
  return [...wanted];
}
