/** WebSocket handshakes as bytes: what is sent, and what a server that switches answers. */

/** RFC 6455 section 1.3 has both. */
export const KEY = "dGhlIHNhbXBsZSBub25jZQ==";
export const ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

const FIELDS = [
  "Host: a",
  "Connection: Upgrade",
  "Upgrade: websocket",
  `Sec-WebSocket-Key: ${KEY}`,
  "Sec-WebSocket-Version: 13",
];

/** A handshake for a path; `change` gives fields another value, or none; `more` lines follow. */
export function handshake(
  path: string,
  change: Readonly<Record<string, string | null>> = {},
  more: readonly string[] = [],
): string {
  const lines = FIELDS.flatMap((line) => {
    const name = line.split(":")[0] as string;
    const other = change[name];
    if (other === null) return [];
    return [other === undefined ? line : `${name}: ${other}`];
  });
  return `GET ${path} HTTP/1.1\r\n${[...lines, ...more].join("\r\n")}\r\n\r\n`;
}

export const SWITCHED =
  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
  `Sec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`;
