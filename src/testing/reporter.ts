/** A reporter of `node:test` for programs: a line of JSON for each test, under the name of where it ran. */
import type { TestEvent } from "node:test/reporters";

export default async function* report(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const runtime = process.env.GATEHOUSE_TEST_RUNTIME;
  for await (const { type, data } of events) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    if (data.details.type === "suite") continue;
    const { name, file, line } = data;
    const { duration_ms } = data.details;
    const error = type === "test:fail" ? errorText(data.details.error) : null;
    yield `${JSON.stringify({ kind: "test", runtime, name, file, line, ok: type === "test:pass", duration_ms, error })}\n`;
  }
}

function errorText(error: Error): string {
  return error.cause instanceof Error ? (error.cause.stack ?? error.cause.message) : error.message;
}
