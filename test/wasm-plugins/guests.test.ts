/** The example guests of every language, uploaded to a running gateway as their authors would, and asked. */
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { parse } from "yaml";
import { type AbsentGuest, type BuiltGuest, buildGuests } from "../../wasm-plugins/build.ts";
import { packFiles, upload } from "../gateway/packages.ts";
import { type Answer, send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, receivedHeader, startOrigin } from "../support/origin.ts";

const SECRET = "a secret of both sides";

/** Starting Go takes a while, and a busy machine must not fail guests that behave. */
const PATIENT = { plugin_limits: "wall_ms=20000,cpu_ms=1000", trusted_ips: "127.0.0.1/32" };

/** Config of each guest, for a route of its own name. */
const CONFIGS: Readonly<Record<string, object>> = {
  "claims-to-headers": { claims: { sub: "X-User-Id", admin: "X-Admin", roles: "X-Roles", age: "X-Age" } },
  "graphql-depth": { max_depth: 3, max_fields: 20, max_operations: 2 },
  "header-stamp": { request_header: "X-Mark", response_header: "X-Stamped" },
  "ip-allow-list": {
    allow: ["10.0.0.0/8", "2001:db8::/33", "203.0.113.7"],
    deny: ["10.66.0.0/16"],
    countries: ["CH"],
  },
  "path-guard": { deny: ["/path-guard/inner"] },
  "request-signature": { secret: SECRET },
  "security-headers": { content_security_policy: "default-src 'self'; report-to \"x\"" },
  "ts-hello": { name: "Ada" },
};

describe("an example guest", () => {
  const held = new AsyncDisposableStack();
  const absent: AbsentGuest[] = [];
  let guests: BuiltGuest[];
  let origin: Origin;
  let gateway: Gateway;
  const answers = new Map<string, Answer>();

  before(async () => {
    guests = await buildGuests(undefined, absent);
    origin = held.use(await startOrigin());
    gateway = held.use(await startGateway({ config: { _format_version: "3.0" }, settings: PATIENT }));
    for (const guest of guests) answers.set(guest.name, await upload(gateway, await packed(guest)));
    await gateway.reload({
      _format_version: "3.0",
      services: [
        {
          name: "origin",
          url: origin.url,
          routes: guests.map(({ name }) => ({
            name,
            paths: [`/${name}`],
            strip_path: false,
            plugins: [{ name: `${name}@1.0.0`, config: CONFIGS[name] }],
          })),
        },
      ],
    });
  });
  after(() => held.disposeAsync());

  /** What the origin received of a request to a guest's route. */
  async function ask(name: string, options: Parameters<typeof send>[1] = {}): Promise<Answer> {
    if (!guests.some((guest) => guest.name === name)) return assertAbsent(name);
    return send(`${gateway.url}/${name}`, options);
  }

  function assertAbsent(name: string): never {
    throw new Error(absent.find((guest) => guest.name === name)?.reason ?? `no guest '${name}'`);
  }

  it("of every language is admitted, and its author is told what its start takes", () => {
    assert.deepEqual(absent, [], "every compiler is needed here");
    const languages = new Set(guests.map(({ language }) => language));
    assert.deepEqual([...languages].sort(), ["AssemblyScript", "C", "Go", "Rust", "TypeScript"]);
    for (const { name, runtime } of guests) {
      const { status, body } = answers.get(name) as Answer;
      assert.equal(status, 201, `${name}: ${body}`);
      const { forge } = JSON.parse(body);
      assert.ok(forge.bytes_in > 0 && forge.bytes_out > 0 && forge.start.memory_bytes > 0, body);
      if (runtime === "isolate") continue;
      assert.ok(forge.functions > 0 && forge.exports.includes("gatehouse:fuel"), body);
      assert.ok(forge.start.fuel <= forge.start.fuel_limit / 4, `${name} starts with ${forge.start.fuel}`);
    }
  });

  it("in Go maps a token's claims to headers, and believes none that the client sends", async () => {
    const claims = { sub: "ada\r\nX-Evil: 1", admin: true, roles: ["a", "b"], age: 36, other: "no" };
    const token = `x.${Buffer.from(JSON.stringify(claims)).toString("base64url")}.y`;
    const { status } = await ask("claims-to-headers", {
      headers: { authorization: `Bearer ${token}`, "x-admin": "false" },
    });
    assert.equal(status, 200);
    const received = (name: string) => receivedHeader(origin.last, name);
    assert.deepEqual(["x-user-id", "x-admin", "x-roles", "x-age", "x-evil"].map(received), [
      ...["adaX-Evil: 1", "true", "a,b", "36", undefined],
    ]);
    await ask("claims-to-headers", { headers: { "x-user-id": "root" } });
    assert.equal(received("x-user-id"), undefined);
  });

  it("in Go answers a thousand requests", async () => {
    for (let i = 0; i < 1000; i++) {
      const token = `x.${Buffer.from(JSON.stringify({ sub: `u${i}` })).toString("base64url")}.y`;
      const { status } = await ask("claims-to-headers", { headers: { authorization: `bearer ${token}` } });
      assert.equal(status, 200);
      assert.equal(receivedHeader(origin.last, "x-user-id"), `u${i}`);
    }
  });

  const body = JSON.stringify({ event: "paid", amount: 12 });
  const sign = (secret: string) => `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
  const signatures: [what: string, headers: Record<string, string>, status: number][] = [
    ["the right signature", { "x-signature-256": sign(SECRET) }, 200],
    ["a signature by another secret", { "x-signature-256": sign("something else") }, 401],
    ["a signature that is cut off", { "x-signature-256": sign(SECRET).slice(0, -2) }, 401],
    ["a signature that is not hexadecimal", { "x-signature-256": "sha256=zz" }, 401],
    ["no signature", {}, 401],
  ];
  for (const [what, headers, expected] of signatures)
    it(`in Rust answers ${expected} to ${what}`, async () => {
      const { status } = await ask("request-signature", { method: "POST", headers, body });
      assert.equal(status, expected);
    });

  const addresses: [address: string, country: string, status: number][] = [
    ["10.1.2.3", "", 200],
    ["11.1.2.3", "", 403],
    ["::ffff:10.1.2.3", "", 200],
    ["2001:db8:7fff::1", "", 200],
    ["2001:db8:8000::1", "", 403],
    ["203.0.113.7", "", 200],
    ["203.0.113.8", "", 403],
    ["198.51.100.1", "CH", 200],
    ["198.51.100.1", "DE", 403],
    ["10.66.1.1", "CH", 403],
  ];
  for (const [address, country, expected] of addresses)
    it(`in Rust answers ${expected} to ${address}${country && ` of ${country}`}`, async () => {
      const headers = { "x-real-ip": address, ...(country && { "cf-ipcountry": country }) };
      assert.equal((await ask("ip-allow-list", { headers })).status, expected);
    });

  it("in C sets a response's security headers, and what its config says", async () => {
    const answer = await ask("security-headers");
    assert.equal(answer.header("x-content-type-options"), "nosniff");
    assert.equal(answer.header("strict-transport-security"), "max-age=31536000");
    assert.equal(answer.header("x-frame-options"), "DENY");
    assert.equal(answer.header("content-security-policy"), "default-src 'self'; report-to \"x\"");
  });

  const json = (value: unknown) => ({
    method: "POST",
    headers: { "content-type": "application/json" },
    body: typeof value === "string" ? value : JSON.stringify(value),
  });
  const query = (text: string) => json({ query: text });
  const long = `{ a(x: "${"y".repeat(30_000)}") }`;
  const documents: [what: string, asked: Parameters<typeof send>[1], refused: string | null][] = [
    ["fields as deep as it may be", query("{ a { b { c } } d }"), null],
    [
      "fields that are deeper",
      query("query Q($v: T = {x: {y: {z: 1}}}) { a { b { c { d } } } }"),
      "Deeper than 3",
    ],
    ["brackets in strings and comments", query('{ a(x: "{{{{", y: """ \\""" {{ """) # {{{{\n }'), null],
    [
      "an inline fragment, which is no level",
      query("{ a { ... on T { b { c } } ... @skip(if: true) { d } } }"),
      null,
    ],
    ["a fragment that is deep", query("{ a { ...f } } fragment f on T { b { c { d } } }"), "Deeper than 3"],
    [
      "a fragment that spreads itself",
      query("{ ...f } fragment f on T { ...g } fragment g on T { ...f }"),
      "spreads itself",
    ],
    ["a fragment that is not there", query("{ ...f }"), "There is no fragment f"],
    ["fields in all", query(`{ ${"a ".repeat(21)} }`), "More fields than 20"],
    [
      "fields of fragments wherever they are spread",
      query(
        `{ ...f1 } ${Array.from({ length: 20 }, (_, i) => `fragment f${i} on T { ...f${i + 1} ...f${i + 1} }`).join(" ")} fragment f20 on T { a }`,
      ),
      "More fields than 20",
    ],
    ["a batch", json([{ query: "{a}" }, { query: "{a { b { c { d } } } }" }]), "Deeper than 3"],
    [
      "a batch that is too long",
      json([{ query: "{a}" }, {}, { query: "{a}" }, { query: "{b}" }]),
      "Too many operations",
    ],
    ["a document that does not parse", query("{ a { }"), "does not parse"],
    ["a query twice, in two spellings", json('{"query":"{a}", "qu\\u0065ry":"{b}"}'), "no GraphQL over HTTP"],
    ["half of JSON", json('{"query":"{a}"'), "no GraphQL over HTTP"],
    ["a persisted query", json({ extensions: { persistedQuery: { version: 1 } } }), null],
    ["a body of another type", { ...query("{a}"), headers: { "content-type": "text/plain" } }, "no GraphQL"],
    ["a long document", query(long), null],
  ];
  for (const [what, asked, refused] of documents)
    it(`in AssemblyScript measures ${what}`, async () => {
      const { status, body: answer } = await ask("graphql-depth", asked);
      if (refused === null) assert.equal(status, 200, answer);
      else {
        assert.equal(status, 400, answer);
        assert.match(JSON.parse(answer).errors[0].message, new RegExp(refused));
      }
    });

  it("in AssemblyScript measures the query of a URL", async () => {
    const url = `${gateway.url}/graphql-depth`;
    assert.equal((await send(`${url}?query=%7Ba%7Bb%7Bc%7D%7D%7D`)).status, 200);
    assert.equal((await send(`${url}?x=1&query=%7Ba%7Bb%7Bc+%7Bd%7D%7D%7D%7D`)).status, 400);
    assert.equal((await send(`${url}?query=%7Ba%7D&qu%65ry=%7Bb%7D`)).status, 400);
  });

  it("in AssemblyScript stamps a request, and guards a path", async () => {
    assert.equal((await ask("header-stamp")).status, 200);
    assert.equal(receivedHeader(origin.last, "x-mark"), "gatehouse");
    assert.equal((await send(`${gateway.url}/path-guard/inner/x`)).status, 403);
  });
});

async function packed({ folder, entry }: BuiltGuest): Promise<Uint8Array> {
  const manifest = parse(await readFile(join(folder, "plugin.yaml"), "utf8"));
  return packFiles(manifest, basename(entry), await readFile(entry));
}
