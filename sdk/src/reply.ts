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
 * @throws {RangeError} if `status` is not between 200 and 599.
 */
export function reply(
  status: number,
  body?: Uint8Array | string | object | null,
  headers: Readonly<Record<string, string>> = {},
): Reply {
  checkReplyStatus(status);
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

/** A 1xx answer announces another one (RFC 9110 section 15.2): a client that gets it as a reply waits for ever. */
export function checkReplyStatus(status: number): void {
  if (!Number.isInteger(status) || status < 200 || status > 599)
    throw new RangeError(`the status of a reply must be between 200 and 599, not ${status}`);
}
