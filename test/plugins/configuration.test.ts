/** What each built-in refuses in its configuration, and in which words. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { schemaToJson, validate } from "@gatehouse/sdk";
import { BUILT_INS } from "../../plugins/index.ts";

function messages(name: string, config: unknown): string[] {
  const plugin = BUILT_INS.find((one) => one.name === name);
  assert.ok(plugin, `no built-in named ${name}`);
  return validate(plugin.schema, config).violations.map(
    ({ path, message }) => `${path.join(".") || "@entity"}: ${message}`,
  );
}

/** Kong's scale of priorities decides the order of plugins; a wrong one changes what a configuration means. */
const PRIORITIES = {
  "request-recording": 1_000_001, // not Kong's, and before its first
  "correlation-id": 100001,
  cors: 2000,
  "key-auth": 1250,
  "rate-limiting": 910,
  "request-transformer": 801,
  "response-transformer": 800,
  prometheus: 13,
  "request-termination": 2,
};

const REFUSED: readonly [plugin: string, config: unknown, message: string][] = [
  ["key-auth", { key_names: ["a key"] }, "key_names.0: invalid value: a key"],
  ["key-auth", { key_names: [] }, "key_names: length must be at least 1"],
  ["key-auth", { realm: "a\r\nb" }, "realm: invalid value: a\r\nb"],
  ["key-auth", { keynames: [] }, "keynames: unknown field"],
  [
    "rate-limiting",
    {},
    "@entity: at least one of these fields must be non-empty: 'second', 'minute', 'hour', 'day', 'month', 'year'",
  ],
  ["rate-limiting", { minute: 0 }, "minute: value must be greater than 0"],
  [
    "rate-limiting",
    { second: 20, hour: 10 },
    "@entity: The limit for hour(10.0) cannot be lower than the limit for second(20.0)",
  ],
  ["rate-limiting", { minute: 1, policy: "redis" }, "policy: expected one of: local"],
  ["rate-limiting", { minute: 1, limit_by: "header" }, "header_name: required field missing"],
  ["rate-limiting", { minute: 1, limit_by: "path" }, "path: required field missing"],
  ["request-termination", { status_code: 99 }, "status_code: value should be between 200 and 599"],
  ["request-termination", { status_code: 103 }, "status_code: value should be between 200 and 599"],
  ["rate-limiting", { minute: 1, error_code: 101 }, "error_code: value should be between 200 and 599"],
  [
    "request-termination",
    { message: "m", body: "b" },
    "@entity: message cannot be used with content_type or body",
  ],
  ["request-termination", { content_type: "text/plain" }, "@entity: content_type requires a body"],
  ["correlation-id", { generator: "tracker" }, "generator: expected one of: uuid, uuid#counter"],
  [
    "cors",
    { methods: ["get"] },
    "methods.0: expected one of: GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS, TRACE, CONNECT",
  ],
  [
    "cors",
    { origins: ["https://.*\\.example\\.com"] },
    "origins.0: regular expressions are not built yet here; write '*', an origin (https://example.com), a host " +
      "(example.com), or '*.' before a host for every host below it (https://*.example.com)",
  ],
  ["request-transformer", { add: { headers: ["X-A"] } }, "add.headers.0: key 'X-A' has no value"],
  ["request-transformer", { add: { headers: ["X A:1"] } }, "add.headers.0: 'X A' is not a valid header"],
  [
    "request-transformer",
    { add: { headers: ["X-A:1\r\nX-B: 2"] } },
    "add.headers.0: the value of 'X-A' may hold no control characters",
  ],
  [
    "request-transformer",
    { remove: { headers: ["Content-Length"] } },
    "remove.headers.0: 'Content-Length' is set by the gateway and cannot be edited",
  ],
  [
    "request-transformer",
    { add: { headers: ["Host:a.test"] } },
    "add.headers.0: 'host' can only be replaced: use replace.headers",
  ],
  [
    "request-transformer",
    { rename: { headers: ["A:B C"] } },
    "rename.headers.0: 'B C' is not a valid header",
  ],
  ["request-transformer", { replace: { uri: "relative" } }, "replace.uri: should start with: /"],
  [
    "request-transformer",
    { replace: { uri: "/a?b=c" } },
    "replace.uri: may hold a path only; set the query with add.querystring",
  ],
  ["request-transformer", { http_method: "get" }, "http_method: invalid value: get"],
  [
    "response-transformer",
    { add: { json: ["a:1"], json_types: ["integer"] } },
    "add.json_types.0: expected one of: boolean, number, string",
  ],
  [
    "prometheus",
    { upstream_health_metrics: true },
    "upstream_health_metrics: not built yet: set it to false or leave it out",
  ],
];

/** Templates that are Lua to Kong but not one of the forms that are read here. */
const UNREADABLE_TEMPLATES = [
  "$(os.execute('x'))",
  "$(headers)",
  "$(headers.)",
  "$(headers.a.b)",
  "$(headers['a)",
  "$(headers.a",
  "$(headers.a and headers.b)",
  "$(headers.a .. 'x')",
  "$(type(headers))",
  "$()",
  "$('\\n')",
];

describe("configuration of built-ins", () => {
  it("every built-in is listed once, with Kong's priority, highest first", () => {
    assert.deepEqual(Object.fromEntries(BUILT_INS.map(({ name, priority }) => [name, priority])), PRIORITIES);
    const order = BUILT_INS.map(({ priority }) => priority);
    assert.deepEqual(
      order,
      order.toSorted((a, b) => b - a),
    );
  });

  it("every field says what it is for", () => {
    for (const { name, schema } of BUILT_INS) {
      for (const [field, one] of Object.entries(schema.fields ?? {})) {
        const described =
          one.description ?? Object.values(one.fields ?? {}).every((inner) => inner.description);
        assert.ok(described, `${name}: ${field}`);
      }
      assert.doesNotThrow(() => JSON.stringify(schemaToJson(schema)));
    }
  });

  for (const { name } of BUILT_INS.filter((plugin) => plugin.name !== "rate-limiting")) {
    it(`${name} needs no configuration`, () => assert.deepEqual(messages(name, {}), []));
  }

  for (const [name, config, message] of REFUSED) {
    it(`${name} refuses ${JSON.stringify(config)}`, () =>
      assert.deepEqual(messages(name, config), [message]));
  }

  for (const template of UNREADABLE_TEMPLATES) {
    it(`request-transformer refuses the template ${template} and says what is allowed`, () => {
      const [message, ...others] = messages("request-transformer", { add: { headers: [`X-A:${template}`] } });
      assert.deepEqual(others, []);
      assert.match(
        message ?? "",
        /^add\.headers\.0: cannot read '.*' at character \d+: allowed in \$\(\.\.\.\) are /,
      );
    });
  }

  it("a configuration that decK dumped, with every default spelled out, is accepted", () => {
    const dumped = {
      second: null,
      minute: 5,
      hour: null,
      day: null,
      month: null,
      year: null,
      limit_by: "consumer",
      header_name: null,
      path: null,
      policy: "local",
      fault_tolerant: true,
      redis: {
        host: null,
        port: 6379,
        timeout: 2000,
        username: null,
        password: null,
        database: 0,
        ssl: false,
        ssl_verify: false,
        server_name: null,
      },
      hide_client_headers: false,
      error_code: 429,
      error_message: "API rate limit exceeded",
      sync_rate: -1,
    };
    assert.deepEqual(messages("rate-limiting", dumped), []);
  });
});
