/**
 * docs/tutorial-first-plugin.md, typed as it stands: commands in their order, edits of files, and what is printed beside
 * what the page shows. Numbers, digests and times of the page stand for any.
 *
 * Its blocks: `console` is run and has to succeed, `fails` has to fail, `until` is repeated until it prints that, `dev` and
 * `gateway` are other terminals, `setup` is left to the reader. `diff FILE` is an edit, `yaml FILE` a file.
 */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { requireProgram } from "../support/services.ts";

const PAGE = fileURLToPath(new URL("../../docs/tutorial-first-plugin.md", import.meta.url));
const MAIN = fileURLToPath(new URL("../../src/main.ts", import.meta.url));

/** What the gateway may take to judge a version, on a busy machine. */
const UNTIL_MS = 60_000;

interface Block {
  readonly language: string;
  readonly title: string;
  readonly lines: readonly string[];
}

interface Command {
  readonly command: string;
  readonly shown: readonly string[];
}

const held = new AsyncDisposableStack();
let home: string;
let origin: Origin;
/** The gateway of `start`: the same program, on ports of its own. */
let gateway: Gateway | null = null;
/** `plugin dev`, and all that it has printed. */
let dev: { readonly child: ChildProcess; printed: string; seen: number } | null = null;
/** Where requests go that the page sends to port 8000. */
let proxy = "";

before(async () => {
  requireProgram("curl");
  home = await mkdtemp(join(tmpdir(), "gatehouse-tutorial-"));
  held.defer(() => rm(home, { recursive: true, force: true }));
  origin = held.use(
    await startOrigin((request, response) => void response.end(`${request.method} ${request.url}\n`)),
  );
});

after(async () => {
  // Its gateway ends with it.
  await endDev();
  await held.disposeAsync();
});

async function blocks(): Promise<Block[]> {
  const text = await readFile(PAGE, "utf8");
  return [...text.matchAll(/^```(\w+) ?(\S*)\n([\s\S]*?)^```$/gm)].map(([, language, title, body]) => ({
    language: language as string,
    title: title as string,
    lines: (body as string).trimEnd().split("\n"),
  }));
}

function commandsOf({ lines }: Block): Command[] {
  const commands: { command: string; shown: string[] }[] = [];
  for (const line of lines) {
    if (line.startsWith("$ ")) commands.push({ command: line.slice(2), shown: [] });
    else commands.at(-1)?.shown.push(line);
  }
  return commands;
}

/** A line of the page as a pattern: numbers, digests and the room between columns may be others. */
function patternOf(line: string): RegExp {
  if (/^sha256:[0-9a-f]+$/.test(line)) return /^sha256:[0-9a-f]{64}$/m;
  const escaped = line.trim().replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const loose = escaped.replace(/\d+(?:\\\.\d+)?(?!\d| OK)/g, "\\d+(?:\\.\\d+)?").replace(/\s+/g, "\\s+");
  return new RegExp(loose);
}

/** Every line of the page stands in what was printed, in its order. */
function assertShown(printed: string, shown: readonly string[], what: string): void {
  let at = 0;
  for (const line of shown) {
    if (line.trim() === "") continue;
    const found = patternOf(line).exec(printed.slice(at));
    assert.ok(found !== null, `${what}: the page shows\n${line}\nand what was printed is\n${printed}`);
    at += found.index + found[0].length;
  }
}

const SHELL = `gatehouse() { ${quoted(process.execPath)} ${quoted(MAIN)} "$@"; }`;

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** As a reader's shell would run it; ports of the page are those of this test. */
async function type(command: string): Promise<{ readonly code: number; readonly printed: string }> {
  const here = command.replaceAll("http://127.0.0.1:8000", proxy);
  const own = Object.entries(process.env).filter(([name]) => !/^(?:GATEHOUSE_|NODE_TEST)/.test(name));
  const child = spawn("bash", ["-c", `${SHELL}\n${here}`], {
    cwd: home,
    env: {
      ...Object.fromEntries(own),
      FORCE_COLOR: "0",
      ...(gateway === null ? {} : { GATEHOUSE_PREFIX: gateway.prefix }),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let printed = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      printed += text;
    });
  const [code] = (await once(child, "close")) as [number];
  return { code, printed: printed.replaceAll("\r", "") };
}

async function inDev(lines: readonly string[]): Promise<void> {
  if (dev === null) {
    const child = spawn(process.execPath, [MAIN, "plugin", "dev", "hello", "--port", "0"], {
      cwd: home,
      env: { ...process.env, TMPDIR: home },
      stdio: ["ignore", "pipe", "inherit"],
    });
    dev = { child, printed: "", seen: 0 };
  }
  const terminal = dev;
  const shown = lines.filter((line) => line !== "" && !line.startsWith("$ "));
  const last = patternOf(shown.at(-1) as string);
  const output = terminal.child.stdout as NodeJS.ReadableStream;
  const more = (part: Buffer) => {
    terminal.printed += part;
  };
  output.on("data", more);
  while (!last.test(terminal.printed.slice(terminal.seen))) {
    if (output.readable) await Promise.race([once(output, "data"), once(output, "end")]);
    else assert.fail(`plugin dev has ended; it printed\n${terminal.printed}`);
  }
  output.off("data", more);
  assertShown(terminal.printed.slice(terminal.seen), shown, "plugin dev");
  terminal.seen = terminal.printed.length;
  proxy = /gateway: (\S+)/.exec(terminal.printed)?.[1] ?? "";
}

async function endDev(): Promise<void> {
  if (dev === null) return;
  dev.child.kill("SIGINT");
  assert.deepEqual(await once(dev.child, "exit"), [0, null]);
  dev = null;
}

async function edit({ title, lines }: Block): Promise<void> {
  const path = join(home, title);
  const part = (sign: string) =>
    lines.flatMap((line) => (line.startsWith(sign) ? [line.slice(1)] : [])).join("\n");
  const text = await readFile(path, "utf8");
  assert.ok(text.includes(part("-")), `${title} does not hold\n${part("-")}`);
  await writeFile(
    path,
    text.replace(part("-"), () => part("+")),
  );
}

async function step(block: Block): Promise<void> {
  const { language, title, lines } = block;
  if (language === "diff") return edit(block);
  if (language === "yaml")
    return writeFile(join(home, title), lines.join("\n").replaceAll("http://127.0.0.1:9000", origin.url));
  if (title === "setup") return;
  if (title === "dev") return inDev(lines);
  if (title === "gateway") {
    gateway = held.use(await startGateway({ config: null, settings: { data_threads: "1" } }));
    proxy = gateway.url;
    return;
  }
  for (const { command, shown } of commandsOf(block)) {
    if (command.includes("plugin test")) await endDev();
    let outcome = await type(command);
    const patience = AbortSignal.timeout(UNTIL_MS);
    while (title === "until" && !patience.aborted && !patternOf(shown[0] as string).test(outcome.printed)) {
      await delay(200);
      outcome = await type(command);
    }
    const { code, printed } = outcome;
    assert.equal(code === 0, title !== "fails", `${command}: exit code ${code}\n${printed}`);
    assertShown(printed, shown, command);
  }
}

test("the first plugin is made, changed, tested, published, deployed, and its bad version taken back", async () => {
  for (const block of await blocks()) await step(block);
});
