/** An HTTP client that shows a response as it came: every header field in order, nothing followed or decoded. */
import { request as httpRequest, type IncomingMessage } from "node:http";

export interface SendOptions {
  method?: string;
  /** An object, or pairs where a field occurs more than once. */
  headers?: Readonly<Record<string, string>> | readonly (readonly [string, string])[];
  body?: string | Uint8Array;
}

export interface Answer {
  readonly status: number;
  /** Fields in order, spelled as received. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
  readonly bytes: Buffer;
  /** The values of a field joined by ", ", or undefined. */
  header(name: string): string | undefined;
  json(): unknown;
}

/** Sends one request on a connection of its own. */
export function send(url: string, { method = "GET", headers = {}, body }: SendOptions = {}): Promise<Answer> {
  const pairs = Array.isArray(headers) ? headers : Object.entries(headers);
  const hasHost = pairs.some(([name]) => name.toLowerCase() === "host");
  const fields: string[] = pairs.flat();
  if (!hasHost) fields.push("Host", new URL(url).host);
  const framed = pairs.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name));
  if (body !== undefined && !framed) fields.push("Content-Length", String(Buffer.byteLength(body)));
  // node:http would normalize a path given in a URL object.
  const [, path = "/"] = /^http:\/\/[^/]+(\/.*)?$/.exec(url) ?? [];
  const { hostname, port } = new URL(url);
  return new Promise((resolve, reject) => {
    const outgoing = httpRequest(
      { hostname, port, path, method, headers: fields, setHost: false, agent: false },
      (incoming) => {
        readAll(incoming).then((bytes) => resolve(answer(incoming, bytes)), reject);
      },
    );
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

async function readAll(incoming: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of incoming) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function answer(incoming: IncomingMessage, bytes: Buffer): Answer {
  const headers: [string, string][] = [];
  for (let i = 0; i < incoming.rawHeaders.length; i += 2)
    headers.push([incoming.rawHeaders[i] as string, incoming.rawHeaders[i + 1] as string]);
  const body = bytes.toString("utf8");
  return {
    status: incoming.statusCode as number,
    headers,
    body,
    bytes,
    header(name) {
      const values = headers.filter(([other]) => other.toLowerCase() === name.toLowerCase());
      return values.length === 0 ? undefined : values.map(([, value]) => value).join(", ");
    },
    json: () => JSON.parse(body),
  };
}
