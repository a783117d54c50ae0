/** What a plugin answers with in place of the upstream. */

export interface Reply {
  readonly kind: "reply";
  readonly status: number;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array | string;
}

/**
 * Makes a reply. An object becomes compact JSON with its content type; a string or bytes are sent as they are
 * (give their type in `headers`). Make replies that never change once, in `create`.
 */
export function reply(
  status: number,
  body?: Uint8Array | string | object | null,
  headers: Readonly<Record<string, string>> = {},
): Reply {
  if (!Number.isInteger(status) || status < 100 || status > 599)
    throw new RangeError(`reply: status ${status} is not between 100 and 599`);
  const pairs = Object.entries(headers) as [string, string][];
  if (body === undefined || body === null) return { kind: "reply", status, headers: pairs, body: "" };
  if (typeof body === "string" || body instanceof Uint8Array)
    return { kind: "reply", status, headers: pairs, body };
  return {
    kind: "reply",
    status,
    headers: [["Content-Type", "application/json; charset=utf-8"], ...pairs],
    body: JSON.stringify(body),
  };
}
