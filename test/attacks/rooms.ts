/**
 * The attacks that are tests of their own, run for the table: packages, reach of an escaped cordon, clients, egress,
 * storms. A row is a test: what it tries is its title, what bounces it is what the test tells (`t.diagnostic`), or the
 * status in parentheses at the end of its title or its group's.
 */
import { readdirSync } from "node:fs";
import { join, relative } from "node:path";
import { run } from "node:test";

export interface Row {
  /** The folder under test/attacks/. */
  readonly room: string;
  readonly attack: string;
  /** Empty where the title says it all. */
  readonly bouncedBy: string;
  readonly ms: number;
  /** Why it is not bounced; null if it is. */
  readonly through: string | null;
}

/** Guests are measured, and not only tested. */
const MEASURED = "guests/guests.test.ts";

/** Test files of all rooms whose path has one of these words in it; all, without words. */
export function attackFiles(words: readonly string[]): string[] {
  return readdirSync(import.meta.dirname, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".test.ts") && path !== MEASURED)
    .filter((path) => words.length === 0 || words.some((word) => path.includes(word)))
    .sort()
    .map((path) => join(import.meta.dirname, path));
}

/** Runs the files one after the other. */
export async function* runRooms(files: readonly string[]): AsyncGenerator<Row> {
  /** Titles of the groups that a test is in. */
  const titles: string[] = [];
  let row = null as Row | null;
  for await (const { type, data } of run({ files: [...files], concurrency: 1 })) {
    if (type === "test:diagnostic" && row !== null && data.nesting > 0) {
      row = { ...row, bouncedBy: data.message };
      continue;
    }
    if (row !== null) yield row;
    row = null;
    if (type === "test:start") titles[data.nesting] = data.name;
    if (type !== "test:pass" && type !== "test:fail") continue;
    const { nesting, name, details, file = "" } = data;
    const through = type === "test:fail" ? causeOf((data.details as { error?: unknown }).error) : null;
    // A group that fails for its tests says nothing new.
    if (details.type === "suite" && (through === null || /subtests? failed/.test(through))) continue;
    const path = [...titles.slice(0, nesting), name];
    row = {
      room: relative(import.meta.dirname, file).split("/")[0] ?? "",
      attack: path.map((title) => title.replace(STATUS, "")).join(": "),
      bouncedBy: path.flatMap((title) => STATUS.exec(title)?.[1] ?? []).at(-1) ?? "",
      ms: details.duration_ms,
      through,
    };
  }
  if (row !== null) yield row;
}

/** `(400)` or `(400 or 501)` at the end of a title. */
const STATUS = / \((\d{3}(?: or \d{3})?)\)$/;

function causeOf(error: unknown): string {
  const { cause } = error as { cause?: unknown };
  return String(cause instanceof Error ? cause.message : (cause ?? error)).split("\n")[0] as string;
}
