/** The example plugins in TypeScript, uploaded to a running gateway as their authors would, and asked. */
import assert from "node:assert/strict";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type PluginDefinition, schemaToJson } from "@gatehouse/sdk";
import { parse } from "yaml";
import { packDirectory } from "../../src/cli/pack.ts";
import { publish } from "../gateway/packages.ts";
import { type Answer, type SendOptions, send } from "../support/client.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, receivedHeader, startOrigin } from "../support/origin.ts";

const EXAMPLES = join(import.meta.dirname, "../../plugins/examples");
const JSON_TYPE = { "content-type": "application/json" };

/** What each route's plugin is configured with. */
const ROUTES: Readonly<Record<string, { name: string; config: object }>> = {
  ab: {
    name: "ab-router",
    config: {
      variants: [
        { name: "a", weight: 0 },
        { name: "b", weight: 1, path_prefix: "/next/" },
      ],
      override_header: "X-Try",
    },
  },
  "ab-even": { name: "ab-router", config: { variants: [{ name: "a" }, { name: "b" }] } },
  pii: { name: "pii-masker", config: { kinds: ["email", "card", "iban"], fields: ["Password"] } },
  schema: {
    name: "request-schema",
    config: {
      schema: {
        type: "object",
        required: ["email"],
        additionalProperties: false,
        properties: {
          email: { type: "string", pattern: "^[^@ ]+@[^@ ]+$", maxLength: 40 },
          amount: { type: "number", exclusiveMinimum: 0, multipleOf: 0.5 },
          tags: { type: "array", items: { $ref: "#/$defs/tag" }, maxItems: 2, uniqueItems: true },
          "a/b": { oneOf: [{ type: "integer" }, { const: { x: 1, y: 2 } }] },
          tree: { $ref: "#/$defs/tree" },
        },
        $defs: {
          tag: { type: "string", enum: ["new", "used"] },
          tree: { type: "object", properties: { child: { $ref: "#/$defs/tree" }, leaf: { type: "null" } } },
        },
      },
    },
  },
  "schema-unknown": { name: "request-schema", config: { schema: { unevaluatedItems: false } } },
  waf: {
    name: "waf-rules",
    config: { rules: [{ id: "own", pattern: "^/waf/old\\.php", places: ["path"] }] },
  },
  "waf-report": { name: "waf-rules", config: { mode: "report" } },
  "waf-without": { name: "waf-rules", config: { disabled_rules: ["path-climb"], status: 406 } },
};

describe("an example plugin", () => {
  const held = new AsyncDisposableStack();
  let origin: Origin;
  let gateway: Gateway;
  /** What the origin answers to requests that say so in `x-answer`. */
  const answers = new Map<string, { type: string; body: string; headers?: Record<string, string> }>();

  before(async () => {
    origin = held.use(
      await startOrigin((received, response) => {
        const { type = "text/plain", body = "", headers } = answers.get(header(received, "x-answer")) ?? {};
        response.writeHead(200, { "content-type": type, ...headers }).end(body);
      }),
    );
    gateway = held.use(
      await startGateway({
        config: { _format_version: "3.0" },
        // A busy machine must not fail plugins that behave.
        settings: { plugin_limits: "wall_ms=20000,cpu_ms=2000" },
      }),
    );
    for (const name of await examples())
      await publish(gateway, (await packDirectory(join(EXAMPLES, name))).bytes);
    const routes = Object.entries(ROUTES).map(([path, { name, config }]) => ({
      name: path,
      paths: [`~/${path}(?:/|$)`],
      strip_path: false,
      plugins: [{ name: `${name}@1.0.0`, config }],
    }));
    await gateway.reload({
      _format_version: "3.0",
      services: [{ name: "origin", url: origin.url, routes }],
    });
  });
  after(() => held.disposeAsync());

  const ask = (path: string, options?: SendOptions): Promise<Answer> =>
    send(`${gateway.url}${path}`, options);

  it("says the same of its config in its manifest as in its source", async () => {
    for (const name of await examples()) {
      const manifest = parse(await readFile(join(EXAMPLES, name, "plugin.yaml"), "utf8"));
      const { default: plugin } = (await import(join(EXAMPLES, name, "plugin.ts"))) as {
        default: PluginDefinition;
      };
      assert.deepEqual(
        [plugin.name, plugin.version, plugin.priority, withoutDefaults(schemaToJson(plugin.schema).fields)],
        [manifest.name, manifest.version, manifest.priority, withoutDefaults(manifest.schema.fields)],
      );
    }
  });

  describe("ab-router", () => {
    it("gives a new visitor a variant by weight, in a header, in the path and in a cookie", async () => {
      const answer = await ask("/ab/x?q=1");
      assert.equal(origin.last.url, "/next/ab/x?q=1");
      assert.equal(receivedHeader(origin.last, "x-variant"), "b");
      assert.match(answer.header("set-cookie") ?? "", /^variant=b; Path=\/; Max-Age=2592000; HttpOnly/);
      assert.equal(answer.header("vary"), "Cookie");
    });

    it("keeps a visitor in the variant of the cookie", async () => {
      const answer = await ask("/ab/x", { headers: { cookie: "other=b; variant=a" } });
      assert.equal(receivedHeader(origin.last, "x-variant"), "a");
      assert.equal(origin.last.url, "/ab/x");
      assert.equal(answer.header("set-cookie"), undefined);
    });

    it("draws again for a cookie that names no variant", async () => {
      const answer = await ask("/ab/x", { headers: { cookie: "variant=gone" } });
      assert.match(answer.header("set-cookie") ?? "", /^variant=b;/);
    });

    it("shows a tester the variant of the header", async () => {
      await ask("/ab", { headers: { "x-try": "a", cookie: "variant=b" } });
      assert.equal(receivedHeader(origin.last, "x-variant"), "a");
    });

    it("gives visitors both of two variants of the same weight", async () => {
      const seen = new Set<string | undefined>();
      // All the same once in 2^63.
      for (let i = 0; i < 64 && seen.size < 2; i++) {
        await ask("/ab-even");
        seen.add(receivedHeader(origin.last, "x-variant"));
      }
      assert.deepEqual(seen, new Set(["a", "b"]));
    });
  });

  describe("pii-masker", () => {
    const card = "4111 1111 1111 1111";
    const cases: [what: string, type: string, body: string, masked: string][] = [
      ["an address in text", "text/plain", "Write to ada.l@example.org.", "Write to ***."],
      ["several in one line", "text/plain", "a@b.de, <c@d.org>; @e f@g", "***, <***>; @e f@g"],
      ["a card in groups", "text/html", `<p>${card}</p>`, "<p>***</p>"],
      ["no number without the checksum", "text/html", "4111 1111 1111 1112", "4111 1111 1111 1112"],
      ["an account", "text/csv", "x;DE89 3704 0044 0532 0130 00;y", "x;***;y"],
      ["no account without the checksum", "text/csv", "DE88370400440532013000", "DE88370400440532013000"],
      [
        "strings of JSON as JSON has them",
        "application/json",
        '{"a":"ada\\u0040example.org","b":["x","y@z.de"]}',
        '{"a":"***","b":["x","***"]}',
      ],
      [
        "a card that is a number, and leaves other numbers as they are",
        "application/vnd.x+json; charset=utf-8",
        '{"card":4111111111111111,"big":12345678901234567890,"small":1.50}',
        '{"card":"***","big":12345678901234567890,"small":1.50}',
      ],
      ["named members, whatever they hold", "application/json", '{"password":{"a":1}}', '{"password":"***"}'],
      ["JSON that is none, as text", "application/json", '{"a": a@b.de', '{"a": ***'],
      ["nothing in what is not text", "image/png", "a@b.de", "a@b.de"],
    ];
    for (const [what, type, body, masked] of cases)
      it(`masks ${what}`, async () => {
        answers.set(what, { type, body, headers: { etag: '"1"' } });
        const answer = await ask("/pii", { headers: { "x-answer": what, "accept-encoding": "gzip" } });
        assert.equal(answer.body, masked);
        assert.equal(answer.header("etag"), body === masked ? '"1"' : undefined);
        assert.equal(receivedHeader(origin.last, "accept-encoding"), "identity");
      });

    it("lets nothing pass that it cannot read", async () => {
      answers.set("zipped", { type: "text/plain", body: "a@b.de", headers: { "content-encoding": "gzip" } });
      const answer = await ask("/pii", { headers: { "x-answer": "zipped" } });
      assert.equal(answer.status, 502);
      answers.set("long", { type: "text/plain", body: "a@b.de ".repeat(150_000) });
      assert.equal((await ask("/pii", { headers: { "x-answer": "long" } })).status, 500);
    });
  });

  describe("request-schema", () => {
    const sound = {
      email: "a@b",
      amount: 1.5,
      tags: ["new"],
      "a/b": { y: 2, x: 1 },
      tree: { child: { leaf: null } },
    };
    const cases: [what: string, body: string, errors: [pointer: string, message: string][]][] = [
      ["a member too few", "{}", [["/email", "is required"]]],
      ["a member too many", '{"email":"a@b","x":1}', [["/x", "is not allowed"]]],
      ["another type", "[]", [["", "expected object"]]],
      [
        "everything that is wrong at once",
        '{"email":7,"amount":0,"tags":["new","new","old"]}',
        [
          ["/email", "expected string"],
          ["/amount", "expected more than 0"],
          ["/tags/2", 'expected one of: "new", "used"'],
          ["/tags", "expected at most 2 elements"],
          ["/tags", "expected no element twice"],
        ],
      ],
      [
        "none of several forms, with a pointer that is escaped",
        '{"email":"a@b","a/b":"x"}',
        [["/a~1b", "fits 0 of the forms of which exactly one is allowed"]],
      ],
      [
        "a tree, below",
        '{"email":"a@b","tree":{"child":{"leaf":1}}}',
        [["/tree/child/leaf", "expected null"]],
      ],
    ];
    for (const [what, body, errors] of cases)
      it(`tells of ${what}`, async () => {
        const answer = await ask("/schema", { method: "POST", headers: JSON_TYPE, body });
        assert.equal(answer.status, 400);
        assert.equal(answer.header("content-type"), "application/problem+json");
        assert.deepEqual(answer.json(), {
          title: "The body does not fit its schema",
          status: 400,
          errors: errors.map(([pointer, message]) => ({ pointer, message })),
        });
      });

    const refusals: [what: string, options: SendOptions, status: number][] = [
      ["a body that fits", { method: "PUT", headers: JSON_TYPE, body: JSON.stringify(sound) }, 200],
      ["a request that has no body to check", { method: "GET" }, 200],
      ["no body", { method: "POST", headers: JSON_TYPE }, 400],
      ["half of JSON", { method: "POST", headers: JSON_TYPE, body: "{" }, 400],
      ["JSON without end", { method: "POST", headers: JSON_TYPE, body: "[".repeat(5000) }, 400],
      [
        "what is not called JSON",
        { method: "POST", headers: { "content-type": "text/plain" }, body: "{}" },
        415,
      ],
    ];
    for (const [what, options, status] of refusals)
      it(`answers ${status} to ${what}`, async () => {
        assert.equal((await ask("/schema", options)).status, status);
      });

    it("does not serve with a keyword that it does not know", async () => {
      const answer = await ask("/schema-unknown", { method: "POST", headers: JSON_TYPE, body: "{}" });
      assert.equal(answer.status, 500);
      await gateway.log((line) => /keyword 'unevaluatedItems' is not supported/.test(JSON.stringify(line)));
    });
  });

  describe("waf-rules", () => {
    const form = (body: string): SendOptions => ({
      method: "POST",
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body,
    });
    const json = (value: unknown): SendOptions => ({
      method: "POST",
      headers: JSON_TYPE,
      body: JSON.stringify(value),
    });
    const attacks: [what: string, path: string, options?: SendOptions][] = [
      ["a second SELECT", "/waf?id=1%20UNION/**/ALL%20SELECT%201"],
      ["a condition that is always true, encoded twice", "/waf?id=%2527%2520or%25201=1"],
      ["a statement behind another in a form", "/waf", form("q=1%27%3B+drop+table+users")],
      ["a wait in a cookie", "/waf", { headers: { cookie: "a=1 and pg_sleep(5)" } }],
      ["a script in JSON", "/waf", json({ a: [{ b: "<ScRipt>alert(1)</script>" }] })],
      ["an event handler", "/waf?q=%3Cimg%20src=x%20onerror%3Dalert(1)%3E"],
      ["a script's URL in entities", "/waf", form("q=%26%23106%3Bavascript%3Aalert(1)")],
      ["a path that climbs", "/waf/..%2f..%2fsecret"],
      ["a file of the system", "/waf?f=/etc/passwd"],
      ["a file that was never meant to be served", "/waf/.git/config"],
      ["a command", "/waf?host=a;cat%20/x"],
      ["a lookup in a header", "/waf", { headers: { "user-agent": `$\{jndi:ldap://x}` } }],
      ["a template", "/waf?name={{7*7}}"],
      ["a prototype", "/waf", json({ list: ["a.__proto__.b"] })],
      ["a NUL", "/waf?f=a%00.png"],
      ["a scanner", "/waf", { headers: { "user-agent": "sqlmap/1.8" } }],
      ["a rule of the configuration", "/waf/OLD.php"],
    ];
    for (const [what, path, options] of attacks)
      it(`refuses ${what}`, async () => {
        const answer = await ask(path, options);
        assert.equal(answer.status, 403, answer.body);
      });

    const harmless: [what: string, path: string, options?: SendOptions][] = [
      ["words that attacks use too", "/waf?q=select+a+union+of+rock+and+roll+or+pop"],
      ["a name with an apostrophe", "/waf", json({ name: "O'Brien and sons", note: "50% off; cats & dogs" })],
      [
        "a browser's headers",
        "/waf",
        { headers: { accept: "text/html;q=0.9,*/*;q=0.8", cookie: "a=1; id=5" } },
      ],
      ["less-than in text", "/waf", form("q=1+%3C+2+and+b+%3E+a")],
      ["a version with dots", "/waf/v1..2/file.txt"],
      ["a rule alone that is not enough", "/waf?q=it%27+--+"],
    ];
    for (const [what, path, options] of harmless)
      it(`lets ${what} pass`, async () => {
        const answer = await ask(path, options);
        assert.equal(answer.status, 200, answer.body);
      });

    it("in report mode lets a request pass, and names the rules without what was sent", async () => {
      assert.equal((await ask("/waf-report?f=/etc/passwd&g=../x")).status, 200);
      const line = await gateway.log(({ msg }) => String(msg).startsWith("let pass with a score of 10"));
      assert.equal(line.msg, "let pass with a score of 10: path-climb, system-file");
      assert.doesNotMatch(JSON.stringify(line), /passwd/);
    });

    it("leaves out the rules that are disabled", async () => {
      assert.equal((await ask("/waf-without?g=../x")).status, 200);
      assert.equal((await ask("/waf-without?f=/etc/passwd")).status, 406);
    });
  });
});

async function examples(): Promise<string[]> {
  const entries = await readdir(EXAMPLES, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

function header({ headers }: { headers: readonly (readonly [string, string])[] }, name: string): string {
  return headers.find(([key]) => key.toLowerCase() === name)?.[1] ?? "";
}

/** A rule that is off may be said or left out. */
function withoutDefaults(value: unknown): unknown {
  return JSON.parse(
    JSON.stringify(value, (name, part) => (name === "required" && part === false ? undefined : part)),
  );
}
