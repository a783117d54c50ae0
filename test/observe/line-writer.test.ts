/** A log that nobody reads stops nothing; one that is read is whole and in order. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";

const WRITER = join(import.meta.dirname, "..", "..", "src", "observe", "line-writer.ts");

/** A process whose stdout is a pipe, running this with a writer `out` on it. */
function start(code: string, bound = ""): ChildProcess {
  const source = `import { LineWriter } from ${JSON.stringify(WRITER)};
    const out = new LineWriter(1${bound});
    ${code}`;
  return spawn(process.execPath, ["--input-type=module", "-e", source], { stdio: ["pipe", "pipe", "pipe"] });
}

async function linesOf(child: ChildProcess): Promise<string[]> {
  const said = await text(child.stdout as NodeJS.ReadableStream);
  return said.split("\n").slice(0, -1);
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => `line ${i}`);

test("every line arrives, in order, also those of the last moment", async () => {
  const child = start(`
    for (let i = 0; i < 50_000; i++) out.write("line " + i + "\\n");
    await out.flush(10_000);
    process.exit(0);`);
  assert.deepEqual(await linesOf(child), numbers(50_000));
});

for (const [title, end] of [
  ["ends by process.exit()", "process.exit(0);"],
  ["ends by an exception", 'throw new Error("on purpose");'],
] as const)
  test(`a process that ${title} without flushing loses no line`, async () => {
    const child = start(`for (let i = 0; i < 100; i++) out.write("line " + i + "\\n"); ${end}`);
    assert.deepEqual((await linesOf(child)).sort(), numbers(100).sort());
  });

test("what a line quotes of strangers is no command for a terminal and no end of a line, and reads as it was", async () => {
  const msg = "\u009b31m\u007f\u0085\u2028{}\u2029\u202eevil\u2066 caf\u00e9";
  const child = start(
    `out.write(${JSON.stringify(`${JSON.stringify({ msg })}\n`)}); await out.flush(10_000);`,
  );
  const [line = "", ...more] = await linesOf(child);
  assert.deepEqual([JSON.parse(line), more], [{ msg }, []]);
  assert.match(line, /^[\x20-\x7e\u00a0-\u00ff]+$/);
});

test("while nobody reads, the process goes on, keeps what its bound allows, and says how much it dropped", async () => {
  const child = start(
    `for (let i = 0; i < 20_000; i++) out.write("x".repeat(99) + "\\n");
    process.stderr.write(String(await out.flush(10)));
    await new Promise((resolve) => process.stdin.once("data", resolve));
    await out.flush(10_000);
    process.exit(0);`,
    ", 500_000",
  );
  const [said] = (await once(child.stderr as NodeJS.ReadableStream, "data")) as [Buffer];
  assert.equal(said.toString(), "false", "flushing gives up");
  child.stdin?.end("read now\n");
  const lines = await linesOf(child);
  const { dropped } = JSON.parse(lines.find((line) => line.startsWith("{")) ?? "{}") as { dropped?: number };
  assert.ok(dropped !== undefined && dropped > 10_000, `${dropped} were dropped`);
  assert.equal(lines.length - 1 + dropped, 20_000);
});

test("a reader that goes away ends the log, not the process", async () => {
  const child = start(`
    process.stdin.once("data", async () => {
      out.write("x\\n");
      await out.flush(10_000);
      out.write("y\\n");
      process.exit(await out.flush(10_000) ? 7 : 1);
    });
    process.stderr.write("ready");`);
  await once(child.stderr as NodeJS.ReadableStream, "data");
  child.stdout?.destroy();
  child.stdin?.end("go\n");
  assert.deepEqual(await once(child, "exit"), [7, null]);
});
