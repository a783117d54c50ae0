/** One request, two hosts: what the route is chosen by and what the upstream believes must be the same. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fieldValue, request } from "../../support/between.ts";
import { Attack } from "./attack.ts";

const attack = new Attack();
const get = (target: string, ...fields: string[]) =>
  [`GET ${target} HTTP/1.1`, ...fields, "", ""].join("\r\n");

describe("host confusion", () => {
  for (const [what, bytes, status] of [
    ["two Hosts", get("/", "Host: client.test", "Host: evil.test"), 400],
    ["two Hosts, the second folded", get("/", "Host: client.test", " Host: evil.test"), 400],
    ["a Host with a space before its colon", get("/", "Host : evil.test", "Host: client.test"), 400],
    ["a Host with user information", get("/", "Host: client.test@evil.test"), 400],
    ["a Host with a path", get("/", "Host: client.test/evil"), 400],
    ["a Host with a comma and a space", get("/", "Host: client.test, evil.test"), 400],
    ["a Host with a port that is none", get("/", "Host: client.test:evil"), 400],
    ["a Host with a NUL", get("/", "Host: client.test\0.evil.test"), 400],
    ["a Host with bytes above 127", get("/", "Host: \xe9vil.test"), 400],
    ["no Host", get("/"), 400],
    [
      "an absolute target with user information",
      get("http://client.test@evil.test/", "Host: client.test"),
      400,
    ],
    ["an absolute target with a backslash", get("http://client.test\\@evil.test/", "Host: client.test"), 400],
    ["an absolute target of another scheme", get("file:///etc/passwd", "Host: client.test"), 400],
    ["an absolute target of https without TLS", get("https://client.test/", "Host: client.test"), 421],
    ["a target without a leading slash", get("@evil.test/", "Host: client.test"), 400],
  ] as const)
    it(`${what} (${status})`, () => attack.bounces(bytes, status));

  for (const field of ["X-Forwarded-Host", "X-Host", "Forwarded"])
    it(`${field} of a client that is not trusted chooses nothing`, async () => {
      await attack.passes(request("GET", "/a", [`${field}: preserved.test`]), [["/a", ""]]);
    });

  it("an absolute target that differs from Host: route and upstream go by the target", async () => {
    await attack.begin();
    const { between } = attack;
    await between.ask(get("http://preserved.test/a", "Host: evil.test"));
    assert.equal(fieldValue(between.last.fields, "host"), "preserved.test");
    assert.ok(between.last.fields.every(([, value]) => !value.includes("evil.test")));
  });

  for (const name of ["X-Forwarded-For", "X-Real-IP", "X-Forwarded-Proto"])
    it(`${name} cannot be taken away by Connection`, async () => {
      await attack.begin();
      await attack.between.get("/a", [`Connection: ${name}`]);
      assert.ok(fieldValue(attack.between.last.fields, name.toLowerCase()) !== undefined);
    });
});
