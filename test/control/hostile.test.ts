/** Requests that mean harm or make no sense: each has its answer, and nothing is changed by any. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Gateway } from "../support/gateway.ts";
import { type Call, FORM, startWritable } from "./gateway.ts";

const JSON_TYPE = { "content-type": "application/json" };
const MULTIPART = { "content-type": "multipart/form-data; boundary=cut" };
const OF_50_MB = { "content-length": String(50 << 20) };
const BEGINNING = Buffer.alloc(16 << 10, 0x20);
const BAD_JSON = { message: "Cannot parse JSON body" };
const BAD_FORM = { message: "The body is not a sound form" };

type Case = [
  title: string,
  path: string,
  body: string | Uint8Array,
  headers: Record<string, string>,
  status: number,
  answer: object,
];

const violation = (fields: object, message: string) => ({
  code: 2,
  name: "schema violation",
  message,
  fields,
});

const CASES: Case[] = [
  // By its head: whoever sent all of it would find the connection closed before it could read the answer.
  ["50 MB", "/services", BEGINNING, { ...JSON_TYPE, ...OF_50_MB }, 413, { message: "Payload too large" }],
  [
    "50 MB of a form",
    "/services",
    BEGINNING,
    { ...FORM, ...OF_50_MB },
    413,
    { message: "Payload too large" },
  ],
  ["lists in lists", "/services", "[".repeat(1_000_000), JSON_TYPE, 400, BAD_JSON],
  ["maps in maps", "/services", '{"a":'.repeat(100_000), JSON_TYPE, 400, BAD_JSON],
  ["a list in place of a record", "/services", "[]", JSON_TYPE, 400, BAD_JSON],
  ["a text in place of a record", "/services", '"name"', JSON_TYPE, 400, BAD_JSON],
  ["null", "/services", "null", JSON_TYPE, 400, BAD_JSON],
  ["half of a record", "/services", '{"name":', JSON_TYPE, 400, BAD_JSON],
  [
    "what is not UTF-8",
    "/services",
    Buffer.from('{"name":"\xff","host":"h"}', "latin1"),
    JSON_TYPE,
    400,
    BAD_JSON,
  ],
  [
    "JSON that is said to be a form",
    "/services",
    '{"host":"h"}',
    FORM,
    400,
    violation(
      { '{"host":"h"}': "unknown field", host: "required field missing" },
      `2 schema violations (host: required field missing; {"host":"h"}: unknown field)`,
    ),
  ],
  ["a form that is said to be JSON", "/services", "name=s&host=h", JSON_TYPE, 400, BAD_JSON],
  ["a form with half an escape", "/services", "name=%f", FORM, 400, BAD_FORM],
  ["a form that is not UTF-8", "/services", "name=%ff&host=h", FORM, 400, BAD_FORM],
  ["a form whose field is a text and a record", "/services", "a=1&a.b=2", FORM, 400, BAD_FORM],
  ["a form whose field is a record and a text", "/services", "a.b=1&a=2", FORM, 400, BAD_FORM],
  ["a form of names in names", "/services", `${"a.".repeat(5000)}b=1`, FORM, 400, BAD_FORM],
  ["a form of too many values", "/services", "paths[]=/a&".repeat(20_000), FORM, 400, BAD_FORM],
  ["a form without a beginning", "/services", "no parts", MULTIPART, 400, BAD_FORM],
  [
    "a form without a boundary",
    "/services",
    "no parts",
    { "content-type": "multipart/form-data" },
    400,
    BAD_FORM,
  ],
  [
    "the prototype of all objects",
    "/services",
    '{"host":"h","__proto__":{"name":"polluted"},"constructor":1}',
    JSON_TYPE,
    400,
    violation(
      JSON.parse('{"__proto__":"unknown field","constructor":"unknown field"}'),
      "2 schema violations (__proto__: unknown field; constructor: unknown field)",
    ),
  ],
  [
    "the prototype of all objects in a form",
    "/services",
    "host=h&__proto__.name=polluted",
    FORM,
    400,
    violation(JSON.parse('{"__proto__":"unknown field"}'), "schema violation (__proto__: unknown field)"),
  ],
  [
    "a reference in a reference",
    "/routes",
    '{"paths":["/a"],"service":{"id":{"id":{}}}}',
    JSON_TYPE,
    400,
    violation({ service: { id: "expected a string" } }, "schema violation (service.id: expected a string)"),
  ],
];

describe("a hostile write", () => {
  let gateway: Gateway & { call: Call };
  let hash: unknown;

  before(async () => {
    gateway = await startWritable();
    assert.equal((await gateway.call("PUT", "/services/here", { host: "h" })).status, 200);
    hash = (await gateway.call("GET", "/status")).json.configuration_hash;
  });
  after(() => gateway?.[Symbol.asyncDispose]());

  const unchanged = async () =>
    assert.equal((await gateway.call("GET", "/status")).json.configuration_hash, hash);

  for (const [title, path, body, headers, status, answer] of CASES)
    test(`${title} is answered ${status}`, async () => {
      const reply = await gateway.call("POST", path, body, headers);
      assert.deepEqual([reply.status, reply.json], [status, answer]);
      await unchanged();
    });

  for (const type of ["text/plain", "application/xml", "application/yaml", "application/json5"])
    test(`${type} is answered 415`, async () => {
      assert.equal((await gateway.call("POST", "/services", "x", { "content-type": type })).status, 415);
      await unchanged();
    });

  test("a key given twice counts as it was given last", async () => {
    const reply = await gateway.call("PATCH", "/services/here", '{"host":"a","host":"h","nope":1}');
    assert.deepEqual(reply.json.fields, { nope: "unknown field" });
    await unchanged();
  });

  const PATHS: [path: string, status: number][] = [
    ["/services/here%2f..%2fother", 400],
    ["/services/..%2f..%2fetc%2fpasswd", 400],
    ["/services/a%00b", 400],
    ["/services/%ff", 400],
    ["/services/%zz", 400],
    ["/services/../consumers", 404],
    ["//services", 405],
    ["/default/default/services", 404],
    ["/no-such-workspace/services/x", 404],
    ["/__proto__/services/x", 404],
    [`/services/${"x".repeat(5000)}`, 414],
  ];
  for (const [path, status] of PATHS)
    test(`PUT ${path.slice(0, 40)} makes nothing`, async () => {
      const reply = await gateway.call("PUT", path, { host: "h" });
      assert.ok(reply.status >= 400 && reply.status < 500, `${reply.status} ${reply.text}`);
      assert.equal(reply.status, status, reply.text);
      await unchanged();
    });

  test("ids that differ in letters alone are one id", async () => {
    const { id } = (await gateway.call("GET", "/services/here")).json;
    assert.equal((await gateway.call("GET", `/services/${id.toUpperCase()}`)).json.id, id);
    const shouted = await gateway.call("POST", "/services", { id: id.toUpperCase(), host: "h" });
    assert.deepEqual(shouted.json.fields, { id: "expected a valid UUID" });
    await unchanged();
  });

  test("answers quote no password and no key", async () => {
    const secret = "correct horse battery staple";
    const reply = await gateway.call("POST", "/basic-auths", { username: "u", password: secret });
    assert.equal(reply.status, 400);
    assert.ok(!reply.text.includes(secret));
    assert.ok(!gateway.output().includes(secret));
    await unchanged();
  });
});
