/** What may leave a guest: every value that would change framing, routing or identity is a violation. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Phase } from "@gatehouse/sdk";
import {
  type GuestGrants,
  NO_GRANTS,
  requestHeaderGrant,
  responseHeaderGrant,
} from "../../../src/sandbox/calls/grants.ts";
import { checkVerdict, Violation } from "../../../src/sandbox/calls/verdict.ts";
import type { HeaderEdit, Verdict } from "../../../src/sandbox/protocol/engine.ts";
import { LIMITS } from "../sandbox.ts";

function check(verdict: Verdict, phase: Phase = "access", granted: Partial<GuestGrants> = {}): void {
  const grants = { ...NO_GRANTS, ...granted };
  const sight = {
    grants,
    requestHeaders: requestHeaderGrant(grants),
    responseHeaders: responseHeaderGrant(grants),
  };
  checkVerdict(verdict, phase, sight, LIMITS);
}

const headers = (...edits: HeaderEdit[]): Verdict => ({ request: { headers: edits } });
const replyWith = (status: number, pairs: [string, string][] = [], body = new Uint8Array(0)): Verdict => ({
  reply: { status, headers: pairs, body },
});

const REFUSED: [string, Verdict, Phase?, Partial<GuestGrants>?][] = [
  ...["x y", "", "x\r\ny", "x:", "\u00e9"].map((name): [string, Verdict] => [
    `header name ${JSON.stringify(name)}`,
    headers(["set", name, "v"]),
  ]),
  ...["a\r\nb", "a\nb", "a\0", "\u007f", " a", "a\t"].map((value): [string, Verdict] => [
    `header value ${JSON.stringify(value)}`,
    headers(["add", "x-a", value]),
  ]),
  ...[
    "Connection",
    "content-length",
    "Transfer-Encoding",
    "TE",
    "trailer",
    "Upgrade",
    "keep-alive",
    "expect",
  ].map((name): [string, Verdict, Phase, Partial<GuestGrants>] => [
    `an edit of ${name}, granted or not`,
    headers(["set", name, "1"]),
    "access",
    { requestHeaders: ["*", name.toLowerCase()] },
  ]),
  ["removing Content-Length", headers(["remove", "content-length"])],
  ["removing Host", headers(["remove", "host"]), "access", { requestHeaders: ["host"] }],
  ["a second Host", headers(["add", "Host", "a"]), "access", { requestHeaders: ["host"] }],
  ["Host without its name granted", headers(["set", "Host", "a"]), "access", { requestHeaders: ["*"] }],
  ["a Host with a path", headers(["set", "Host", "a/b"]), "access", { requestHeaders: ["host"] }],
  [
    "Authorization without its name granted",
    headers(["set", "Authorization", "x"]),
    "access",
    { requestHeaders: ["*"] },
  ],
  ["X-Forwarded-For without its name granted", headers(["set", "X-Forwarded-For", "::1"])],
  ["X-Consumer-ID without the consumer grant", headers(["set", "X-Consumer-ID", "1"])],
  ["X-Credential-Identifier without the consumer grant", headers(["remove", "x-credential-identifier"])],
  [
    "a reply's Set-Cookie without its name granted",
    replyWith(200, [["Set-Cookie", "a=b"]]),
    "access",
    { responseHeaders: ["*"] },
  ],
  ["a reply's Transfer-Encoding", replyWith(200, [["Transfer-Encoding", "chunked"]])],
  ["101 header edits", headers(...Array.from({ length: 101 }, (): HeaderEdit => ["add", "x", ""]))],
  ["33 KiB of headers", headers(["set", "x-a", "v".repeat(33 * 1024)])],
  ...[0, 99, 100, 101, 199, 600, 65535].map((status): [string, Verdict] => [
    `status ${status}`,
    replyWith(status),
  ]),
  ["a body of more than 1 MiB", replyWith(200, [], new Uint8Array(1024 * 1024 + 1))],
  ...[
    "",
    "relative",
    "//evil",
    "/%2fevil",
    "http://evil/",
    "/a/../b",
    "/a/..%2fb",
    "/%2e%2E/b",
    "/a/.",
    "/..;/a",
    "/a b",
    "/a?b",
    "/a#b",
    "/a\\b",
    "/a%5c..%5cb",
    "/a\r\nb",
    "/%",
    "/%zz",
    "/caf\u00e9",
  ].map((path): [string, Verdict] => [`path ${JSON.stringify(path)}`, { request: { path } }]),
  ...["a b", "a#b", "a\r\nb", "\u00e9"].map((query): [string, Verdict] => [
    `query ${JSON.stringify(query)}`,
    { request: { query } },
  ]),
  ...["", "GET ", "G\r\n", "CONNECT", "connect", "TRACE", "Trace", "X".repeat(33)].map(
    (method): [string, Verdict] => [`method ${JSON.stringify(method)}`, { request: { method } }],
  ),
  ["a request edit in header_filter", headers(["set", "x-a", "b"]), "header_filter"],
  ["a response edit in log", { response: { headers: [["set", "x-a", "b"]] } }, "log"],
  ["a status in access", { response: { status: 200 } }, "access"],
  ["a response body in header_filter", { response: { body: new Uint8Array(1) } }, "header_filter"],
  ["a chunk in access", { chunk: new Uint8Array(1) }],
  ["a reply in header_filter", replyWith(200), "header_filter"],
  ["a reply in body_filter", replyWith(200), "body_filter"],
  ["a var named __proto__", { vars: JSON.parse('{"__proto__": 1}') }],
  ["a var with a space", { vars: { "a b": 1 } }],
  ["authenticate() without the grant", { authenticated: { consumer: "c", credential: null } }],
  [
    "authenticate() in log",
    { authenticated: { consumer: "c", credential: null } },
    "log",
    { consumer: true },
  ],
];
for (const [what, verdict, phase, grants] of REFUSED)
  test(`${what} is a violation`, () => {
    assert.throws(() => check(verdict, phase, grants), Violation);
  });

const ALLOWED: [string, Verdict, Phase?, Partial<GuestGrants>?][] = [
  [
    "an ordinary header without a grant",
    headers(["set", "X-Stamp", "caf\u00e9, a\tb"], ["remove", "accept"]),
  ],
  ["Host by name", headers(["set", "Host", "[::1]:80"]), "access", { requestHeaders: ["host"] }],
  [
    "Authorization by name",
    headers(["set", "Authorization", "x"]),
    "access",
    { requestHeaders: ["Authorization"] },
  ],
  [
    "X-Consumer-ID with the consumer grant",
    headers(["set", "X-Consumer-ID", "1"]),
    "access",
    { consumer: true },
  ],
  [
    "Set-Cookie by name",
    replyWith(599, [["Set-Cookie", "a=b"]]),
    "access",
    { responseHeaders: ["set-cookie"] },
  ],
  ["paths with dots and escapes", { request: { path: "/a/..b/.well-known/%20/c;d=1" } }],
  ["the empty query", { request: { query: "" } }],
  ["a query with anything else", { request: { query: "a=%zz&b=[]{}\"'" } }],
  ["response headers from access on", { response: { headers: [["add", "x", "y"]] } }, "access"],
];
for (const [what, verdict, phase, grants] of ALLOWED)
  test(`${what}: allowed`, () => check(verdict, phase, grants));

/** Who may write which header: by nobody, by whoever names it, by whoever has the consumer grant too, by all. */
const WRITABLE: Readonly<Record<"never" | "named" | "consumer" | "always", readonly string[]>> = {
  never: [
    "Connection",
    "Content-Length",
    "Expect",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
  ],
  named: [
    "Authorization",
    "Cookie",
    "Proxy-Authorization",
    "Set-Cookie",
    "Host",
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Anything",
    "X-Real-IP",
  ],
  consumer: ["X-Consumer-Id", "X-Consumer-Username", "X-Credential-Identifier", "X-Anonymous-Consumer"],
  always: ["X-Stamp", "Accept", "Content-Type", "Cache-Control", "Server", "Via", "Location", "X-Consumers"],
};

for (const [who, names] of Object.entries(WRITABLE))
  for (const name of names)
    test(`${name} may be written ${{ never: "by no guest", named: "where a grant names it", consumer: "where a grant names it, or with the consumer grant", always: "by every guest" }[who]}`, () => {
      const lower = name.toLowerCase();
      const may = (granted: Partial<GuestGrants>): boolean => {
        try {
          check(headers(["set", name, "a"]), "access", granted);
          return true;
        } catch (error) {
          assert.ok(error instanceof Violation);
          return false;
        }
      };
      const seen = {
        nothing: may({}),
        all: may({ requestHeaders: ["*"] }),
        consumer: may({ consumer: true }),
        named: may({ requestHeaders: [lower] }),
      };
      assert.deepEqual(seen, {
        nothing: who === "always",
        all: who === "always",
        consumer: who === "always" || who === "consumer",
        named: who !== "never",
      });
    });
