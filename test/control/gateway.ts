/** A real gateway that keeps its entities in a store, and its Admin API as a client of Kong's would call it. */
import { request } from "node:http";
import { type Gateway, startGateway } from "../support/gateway.ts";

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  // Tests look into bodies freely; what they find is asserted.
  readonly json: { readonly [field: string]: unknown } & {
    readonly id: string;
    readonly code?: number;
    readonly name?: string;
    readonly message?: string;
    readonly fields?: Readonly<Record<string, unknown>>;
    readonly data?: readonly Readonly<Record<string, unknown>>[];
    readonly next?: string | null;
  };
}

export type Call = (
  method: string,
  path: string,
  body?: unknown,
  headers?: Readonly<Record<string, string>>,
) => Promise<Reply>;

export const FORM = { "content-type": "application/x-www-form-urlencoded" };

/** On two data threads, so that whatever is acknowledged has to be live on more than one. */
export async function startWritable(
  settings: Record<string, string> = {},
): Promise<Gateway & { call: Call }> {
  const gateway = await startGateway({ config: null, settings: { data_threads: "2", ...settings } });
  return Object.assign(gateway, {
    call: callOf(
      () => gateway.ports.admin,
      () => gateway.adminHeaders,
    ),
  });
}

/**
 * Bodies are JSON unless they are texts or bytes. The path is sent as it stands.
 * @param always header fields of every request.
 */
export function callOf(
  port: () => number,
  always: () => Readonly<Record<string, string>> = () => ({}),
): Call {
  return (method, path, body, headers = { "content-type": "application/json" }) => {
    const { promise, resolve, reject } = Promise.withResolvers<Reply>();
    const bytes =
      body === undefined
        ? null
        : body instanceof Uint8Array
          ? body
          : Buffer.from(typeof body === "string" ? body : JSON.stringify(body));
    const framing: Record<string, string> = bytes === null ? {} : { "content-length": String(bytes.length) };
    const outgoing = request(
      {
        port: port(),
        method,
        path,
        headers: { ...always(), ...framing, ...(bytes === null ? {} : headers) },
        agent: false,
      },
      async (response) => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of response) chunks.push(chunk as Uint8Array);
        const text = Buffer.concat(chunks).toString();
        const { headers: fields, statusCode: status = 0 } = response;
        const isJson = fields["content-type"]?.startsWith("application/json") === true && text !== "";
        resolve({ status, headers: fields, text, json: isJson ? JSON.parse(text) : {} });
      },
    );
    outgoing.on("error", reject);
    outgoing.end(bytes);
    return promise;
  };
}
