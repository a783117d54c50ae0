/**
 * Requests that were recorded, through a plugin in the sandbox, and what came of them beside what is expected. What is
 * expected lies beside the recordings, as JSON that is read and reviewed: `recordings.jsonl` → `recordings.golden.json`.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type GivenHeaders, openPlugin, PluginFailure, type Verdict } from "@gatehouse/sdk/testing";
import { parse } from "yaml";
import { printable } from "../printable.ts";
import { BadRecording, type KeptRecording, readRecording } from "../replay/recording.ts";
import { PackError } from "./pack.ts";

/** Config that recorded requests are tested with, and that `plugin dev` gives the plugin. */
export const CONFIG_FILE = "dev.yaml";

export interface Golden {
  readonly passed: number;
  readonly failed: number;
  readonly recorded: number;
}

export interface RecordedTest {
  /** Method, path and id. */
  readonly name: string;
  readonly ok: boolean;
  /** Whether what came of it was written down just now. */
  readonly recorded: boolean;
  /** What is other than expected, a line each. */
  readonly differences: readonly string[];
}

/** What is written down of one request, with field names in lower case. */
interface Expected {
  readonly request: object | null;
  readonly response: object | null;
  readonly failure: string | null;
}

/** @returns null if there is no such file. */
export async function testRecordings(
  dir: string,
  file: string,
  record: boolean,
): Promise<{ readonly golden: Golden; readonly tests: readonly RecordedTest[] } | null> {
  const text = await readFile(file, "utf8").catch(() => null);
  if (text === null) return null;
  const recordings = readAll(text, file);
  const goldenFile = file.replace(/(?:\.jsonl)?$/, ".golden.json");
  const known = await readGolden(goldenFile);
  const config = await readConfig(dir);
  const plugin = await openPlugin(dir, { config: config ?? {} });
  const tests: RecordedTest[] = [];
  const next: Record<string, Expected> = {};
  try {
    for (const recording of recordings) {
      const { id, request } = recording;
      const found = await play(plugin, recording);
      const expected = Object.hasOwn(known, id) ? known[id] : undefined;
      const isNew = record || expected === undefined;
      next[id] = isNew ? found : (expected as Expected);
      const differences = isNew ? [] : differencesOf(expected as Expected, found);
      tests.push({
        name: printable(`${request.method} ${request.path} (${id})`),
        ok: record || (expected !== undefined && differences.length === 0),
        recorded: record,
        differences:
          !record && expected === undefined
            ? [`nothing is expected yet: --record writes down what comes of it now`]
            : differences,
      });
    }
  } finally {
    plugin.close();
  }
  if (record) await writeFile(goldenFile, `${JSON.stringify(next, null, 2)}\n`);
  const failed = tests.filter(({ ok }) => !ok).length;
  const recorded = tests.filter((test) => test.recorded).length;
  return { golden: { passed: tests.length - failed - recorded, failed, recorded }, tests };
}

/** The plugin's config while it is developed; null if none is written. @throws {PackError} */
export async function readConfig(dir: string): Promise<object | null> {
  const file = join(dir, CONFIG_FILE);
  const text = await readFile(file, "utf8").catch(() => null);
  if (text === null) return null;
  try {
    const config: unknown = parse(text);
    if (config === null || (typeof config === "object" && !Array.isArray(config))) return config;
    throw new Error("it is no mapping of fields to values");
  } catch (error) {
    throw new PackError([`${file}: ${(error as Error).message}`]);
  }
}

function readAll(text: string, file: string): KeptRecording[] {
  const reasons: string[] = [];
  const recordings: KeptRecording[] = [];
  for (const [i, line] of text.split("\n").entries()) {
    if (line.trim() === "") continue;
    try {
      recordings.push(readRecording(line));
    } catch (error) {
      if (!(error instanceof BadRecording)) throw error;
      reasons.push(`${file}:${i + 1}: ${error.message}`);
    }
  }
  if (reasons.length > 0) throw new PackError(reasons);
  return recordings;
}

async function readGolden(file: string): Promise<Record<string, Expected>> {
  const text = await readFile(file, "utf8").catch(() => null);
  if (text === null) return {};
  try {
    return JSON.parse(text) as Record<string, Expected>;
  } catch {
    throw new PackError([`${file} is no JSON; write it anew by --record`]);
  }
}

async function play(
  plugin: Awaited<ReturnType<typeof openPlugin>>,
  { at, route, service, consumer, request, response }: KeptRecording,
): Promise<Expected> {
  const { method, scheme, host, port, path, query, clientIp, headers, body } = request;
  const url = `${scheme}://${host}:${port}${path}${query === "" ? "" : `?${query}`}`;
  try {
    const verdict = await plugin.test(
      { method, url, headers: headers as GivenHeaders, body: body?.bytes ?? null, clientIp },
      {
        route,
        service,
        consumer,
        now: at,
        ...(response === null
          ? {}
          : {
              response: {
                status: response.status,
                headers: response.headers as GivenHeaders,
                body: response.body?.bytes ?? null,
              },
            }),
      },
    );
    return expectedOf(verdict, response !== null);
  } catch (error) {
    if (!(error instanceof PluginFailure)) throw error;
    return { request: null, response: null, failure: error.message };
  }
}

function expectedOf({ request, response, replied }: Verdict, isAnswered: boolean): Expected {
  return {
    request: request && {
      method: request.method,
      path: request.path,
      query: request.query,
      headers: fieldsOf(request.headers.entries()),
      body: bodyOf(request.body),
    },
    // Where the service's answer was not recorded, there is none to look at.
    response:
      replied || isAnswered
        ? {
            status: response.status,
            headers: fieldsOf(response.headers.entries()),
            body: bodyOf(response.body),
          }
        : null,
    failure: null,
  };
}

const fieldsOf = (fields: readonly [string, string][]) =>
  fields.map(([name, value]) => `${name.toLowerCase()}: ${value}`).sort();

/** As text where it is some, so that a golden file can be read. */
function bodyOf(body: Uint8Array | null): string | null {
  if (body === null || body.length === 0) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body);
  } catch {
    return `base64:${Buffer.from(body).toString("base64")}`;
  }
}

const MOST_SHOWN = 200;

/** One line for each leaf that is other than expected. */
function differencesOf(expected: unknown, found: unknown, path = ""): string[] {
  if (isDeepStrictEqual(expected, found)) return [];
  const isNode = (value: unknown): value is Record<string, unknown> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  if (isNode(expected) && isNode(found))
    return [...new Set([...Object.keys(expected), ...Object.keys(found)])].flatMap((key) =>
      differencesOf(expected[key], found[key], path === "" ? key : `${path}.${key}`),
    );
  if (Array.isArray(expected) && Array.isArray(found))
    return [
      ...expected.filter((one) => !found.includes(one)).map((one) => `${path}: missing ${shown(one)}`),
      ...found.filter((one) => !expected.includes(one)).map((one) => `${path}: unexpected ${shown(one)}`),
    ];
  return [`${path}: expected ${shown(expected)}, and it is ${shown(found)}`];
}

const shown = (value: unknown) => printable(JSON.stringify(value) ?? "nothing").slice(0, MOST_SHOWN);
