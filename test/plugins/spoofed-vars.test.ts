/** What a guest leaves under the name by which a built-in plugin shares something: nonsense is told to nobody. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { validate } from "@gatehouse/sdk";
import correlationId from "../../plugins/correlation-id.ts";
import rateLimiting from "../../plugins/rate-limiting.ts";
import { MemoryContext } from "../sandbox/context.ts";
import { RecordingHost } from "../sandbox/sandbox.ts";

const PLUGINS = {
  "correlation-id": (given: object) => {
    const { value } = validate(correlationId.schema, given);
    return correlationId.create(value as never, new RecordingHost());
  },
  "rate-limiting": (given: object) => {
    const { value } = validate(rateLimiting.schema, given);
    return rateLimiting.create(value as never, new RecordingHost());
  },
};

const TOLD = [
  ...["X-RateLimit-Limit-Minute", "X-RateLimit-Remaining-Minute"],
  ...["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"],
];

for (const [title, plugin, config, vars, told] of [
  ["an id", "correlation-id", { echo_downstream: true }, { correlation_id: "a 1" }, ["Kong-Request-ID"]],
  ["an id with a line end", "correlation-id", { echo_downstream: true }, { correlation_id: "a\r\nX: y" }, []],
  ["an id that is none", "correlation-id", { echo_downstream: true }, { correlation_id: { a: 1 } }, []],
  ["counts", "rate-limiting", { minute: 5 }, { "rate-limiting": [60, 4] }, TOLD],
  ["counts that are texts", "rate-limiting", { minute: 5 }, { "rate-limiting": ["1\r\nX: y", 3] }, []],
  ["counts that are lists", "rate-limiting", { minute: 5 }, { "rate-limiting": [[1], [3]] }, []],
  ["no counts", "rate-limiting", { minute: 5 }, { "rate-limiting": { length: 2 } }, []],
] as const)
  test(`${plugin} finds ${title} in what plugins share: ${told.length > 0 ? "it is told" : "nothing is told"}`, async () => {
    const ctx = new MemoryContext();
    Object.assign(ctx.vars, vars);
    await PLUGINS[plugin](config).headerFilter?.(ctx);
    assert.deepEqual(
      ctx.response.headers.entries().map(([name]) => name),
      told,
    );
  });
