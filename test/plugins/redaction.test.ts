/** What is taken out of requests before they are kept. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Redaction } from "../../plugins/redaction.ts";

const redaction = new Redaction(["X-Named"], ["Named"], ["apikey"]);

for (const [name, value, expected] of [
  ["Authorization", "Basic YTpi", "REDACTED"],
  ["COOKIE", "a=b", "REDACTED"],
  ["Set-Cookie", "a=b", "REDACTED"],
  ["Proxy-Authorization", "x", "REDACTED"],
  ["ApiKey", "x", "REDACTED"],
  ["x-named", "x", "REDACTED"],
  ["X-Auth", "x", "REDACTED"],
  ["X-CSRF-Token", "x", "REDACTED"],
  ["X-Amz-Security-Token", "x", "REDACTED"],
  ["X-JWT-Assertion", "x", "REDACTED"],
  ["X-Access-Key", "x", "REDACTED"],
  ["Ocp-Apim-Subscription-Key", "x", "REDACTED"],
  ["PHPSESSID", "x", "REDACTED"],
  ["X-OTP", "x", "REDACTED"],
  ["X-Shipping", "fast", "fast"],
  ["X-Author", "ann", "ann"],
  [":authority", "a", "a"],
  ["Accept", "text/html", "text/html"],
  ["Referer", "https://a.example/b", "https://a.example/b"],
  ["Referer", "https://a.example/?code=1&Named=2", "https://a.example/?code=1&Named=REDACTED"],
  ["Location", "/#access_token=1&state=2", "/#access_token=REDACTED&state=2"],
  ["Location", "/?a=1#b?token=2", "/?a=1#b?token=REDACTED"],
] as const)
  test(`${name}: ${value} is kept as ${expected}`, () => {
    assert.deepEqual(redaction.headers([[name, value]]), [[name, expected]]);
  });

for (const [query, expected] of [
  ["", ""],
  ["a=1&b", "a=1&b"],
  ["a=1&NAMED=2&named", "a=1&NAMED=REDACTED&named"],
  ["api%6Bey=1&apikey=2=3", "api%6Bey=REDACTED&apikey=REDACTED"],
  ["my+token=1", "my+token=REDACTED"],
  ["%zz=1&pass%77ord=2", "%zz=1&pass%77ord=REDACTED"],
  ["next_page_token=abc&page=2", "next_page_token=REDACTED&page=2"],
] as const)
  test(`of the query '${query}' '${expected}' is kept`, () => assert.equal(redaction.query(query), expected));

const bytes = (text: string) => new TextEncoder().encode(text);

for (const [what, type, encoding, given, expected] of [
  ["text stays", "text/plain", undefined, "token=1", "token=1"],
  ["a body without a type stays", undefined, undefined, "x", "x"],
  ["a form", "application/x-www-form-urlencoded", undefined, "named=1&b=2", "named=REDACTED&b=2"],
  [
    "JSON",
    "application/json; charset=utf-8",
    "identity",
    '{"apikey":{"a":1},"b":2}',
    '{"apikey":"REDACTED","b":2}',
  ],
  ["JSON by suffix", "application/vnd.a+json", undefined, '{"Password":1}', '{"Password":"REDACTED"}'],
  [
    "JSON without such names keeps its bytes",
    "application/json",
    undefined,
    '{ "b" : 1e400 }',
    '{ "b" : 1e400 }',
  ],
  ["a JSON list of texts stays", "application/json", undefined, '["token"]', '["token"]'],
  [
    "JSON within JSON",
    "application/json",
    undefined,
    '{"variables":{"input":[{"password":"p","id":12345678901234567890}]},"__proto__":{"pin":1}}',
    '{"variables":{"input":[{"password":"REDACTED","id":12345678901234567890}]},"__proto__":{"pin":"REDACTED"}}',
  ],
  ["a list of objects", "application/json", undefined, '[{"token":"t"}]', '[{"token":"REDACTED"}]'],
  ["JSON that is said to be text", "text/plain", undefined, '{"token":"t"}', '{"token":"REDACTED"}'],
  ["JSON without a type", undefined, undefined, '{"a":{"named":1}}', '{"a":{"named":"REDACTED"}}'],
  ["a list that nobody can read is not kept", "application/json", undefined, '[{"token":"t"}', null],
  ["JSON that nobody can read is not kept", "application/json", undefined, ' {"token":', null],
  ["multipart is not kept", "multipart/form-data; boundary=a", undefined, "--a", null],
  ["what is compressed is not kept", "application/json", "gzip", "{}", null],
] as const)
  test(`of a body ${what}`, () => {
    const kept = redaction.body(bytes(given), type, encoding);
    assert.equal(kept === null ? null : new TextDecoder().decode(kept), expected);
  });

test("of a part of a body, text may be kept, and nothing in which names stand", () => {
  assert.ok(redaction.maybePart("text/html", undefined));
  for (const type of ["application/json", "application/x-www-form-urlencoded", "multipart/form-data"])
    assert.ok(!redaction.maybePart(type, undefined), type);
  assert.ok(!redaction.maybePart("text/html", "br"));
});
