/**
 * What the operator told the gateway: flags over the settings file (YAML) over environment variables
 * (`GATEHOUSE_<NAME>`) over defaults. Everything that is wrong is reported at once, with where it stands.
 *
 * An unknown name is an error: a misspelt limit that silently keeps its default is found too late.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { type Field, record, validate } from "@gatehouse/sdk";
import { isScalar, LineCounter, parseDocument } from "yaml";
import { nearest } from "./declarative/nearest.ts";
import { UnreadableValue } from "./settings/addresses.ts";
import { adminContradictions } from "./settings/admin-settings.ts";
import { camelCase, SETTINGS, type Setting, type Settings } from "./settings/table.ts";

export type { Listen, ProxyListen, TlsListen } from "./settings/addresses.ts";
export type { ResponseHeader, Settings } from "./settings/table.ts";

export interface SettingsSources {
  /** By setting name, in snake_case or camelCase; undefined is not given. */
  readonly flags?: Readonly<Record<string, string | undefined>>;
  /** Path of a settings file. */
  readonly file?: string | undefined;
  /** Only names that begin with `GATEHOUSE_` are looked at; an empty value counts as absent. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Directory that relative paths start from; default: the working directory. */
  readonly directory?: string;
}

export type LoadedSettings =
  | { readonly settings: Settings; readonly errors?: undefined }
  | { readonly settings?: undefined; readonly errors: readonly string[] };

const ENV_PREFIX = "GATEHOUSE_";
/** Of the command line's other commands, which share the environment. */
const NO_SETTINGS: readonly string[] = ["GATEHOUSE_ADMIN_TOKEN"];
const MAX_FILE_BYTES = 1 << 20;

/** Every name and alias, and the setting it stands for. */
const NAMES = new Map<string, string>(
  Object.entries(SETTINGS).flatMap(([name, { aliases }]) => [
    [name, name] as const,
    ...(aliases as readonly string[]).map((alias) => [alias, name] as const),
  ]),
);

/** One value as it was given, and how an error names its place. */
interface Given {
  readonly value: unknown;
  readonly place: string;
}

/** Reads settings from all sources. Nothing is opened but the settings file. */
export function loadSettings(sources: SettingsSources): LoadedSettings {
  const directory = resolve(sources.directory ?? ".");
  const errors: string[] = [];
  const given = new Map<string, Given>();
  // The strongest source comes first; what it sets, the others cannot.
  collect(given, flagEntries(sources.flags ?? {}), errors);
  if (sources.file !== undefined)
    collect(given, fileEntries(resolve(directory, sources.file), errors), errors);
  collect(given, envEntries(sources.env ?? {}), errors);

  const values = new Map<string, unknown>();
  for (const [name, setting] of Object.entries(SETTINGS) as [string, Setting][]) {
    const source = given.get(name);
    const checked = check(setting, source?.value);
    for (const message of checked.messages) errors.push(`${source?.place ?? name}: ${message}`);
    if (checked.messages.length === 0) values.set(name, checked.value);
  }
  const prefix = resolve(directory, (values.get("prefix") as string | undefined) ?? ".");
  const isDeclarative = typeof values.get("declarative_config") === "string";
  const settings: Record<string, unknown> = {};
  for (const [name, value] of values) {
    const setting = (SETTINGS as Record<string, Setting>)[name] as Setting;
    try {
      settings[camelCase(name)] = setting.read(value as never, { directory, prefix, isDeclarative });
    } catch (error) {
      if (!(error instanceof UnreadableValue)) throw error;
      errors.push(`${given.get(name)?.place ?? name}: ${error.message}`);
    }
  }
  if (errors.length === 0) errors.push(...contradictions(settings as unknown as Settings));
  return errors.length > 0 ? { errors } : { settings: settings as unknown as Settings };
}

/** What each setting may say, and two together may not. */
function contradictions(settings: Settings): string[] {
  const { realIpHeader, proxyListen } = settings;
  const wrong = [...adminContradictions(settings)];
  if (realIpHeader === "proxy_protocol" && !proxyListen.some(({ proxyProtocol }) => proxyProtocol))
    wrong.push(
      "real_ip_header: 'proxy_protocol' asks for a listener that speaks it; add 'proxy_protocol' to one of proxy_listen",
    );
  return wrong;
}

interface Entry {
  /** Undefined when no setting is named so. */
  readonly name: string | undefined;
  readonly written: string;
  readonly value: unknown;
  readonly place: string;
  /** Known names as this source writes them, for the hint. */
  readonly spell: (name: string) => string;
}

function collect(given: Map<string, Given>, entries: Iterable<Entry>, errors: string[]): void {
  const own = new Map<string, string>();
  for (const { name, written, value, place, spell } of entries) {
    if (name === undefined) {
      errors.push(`${place}: unknown setting${hint(written, [...NAMES.keys()].map(spell))}`);
      continue;
    }
    const other = own.get(name);
    if (other !== undefined) errors.push(`${place}: sets the same as ${other}; keep one of them`);
    own.set(name, place);
    if (!given.has(name)) given.set(name, { value, place });
  }
}

function* flagEntries(flags: Readonly<Record<string, string | undefined>>): Iterable<Entry> {
  const spell = (name: string) => `--${name.replaceAll("_", "-")}`;
  for (const [key, value] of Object.entries(flags)) {
    if (value === undefined) continue;
    const name = key
      .replace(/^--/, "")
      .replaceAll("-", "_")
      .replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
    yield { name: NAMES.get(name), written: spell(name), value, place: spell(name), spell };
  }
}

function* envEntries(env: Readonly<Record<string, string | undefined>>): Iterable<Entry> {
  const spell = (name: string) => ENV_PREFIX + name.toUpperCase();
  for (const [key, value] of Object.entries(env)) {
    if (!key.startsWith(ENV_PREFIX) || value === undefined || value === "") continue;
    if (NO_SETTINGS.includes(key)) continue;
    const name = NAMES.get(key.slice(ENV_PREFIX.length).toLowerCase());
    yield { name, written: key, value, place: key, spell };
  }
}

function* fileEntries(path: string, errors: string[]): Iterable<Entry> {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    errors.push(`${path}: cannot be read (${(error as NodeJS.ErrnoException).code})`);
    return;
  }
  if (text.length > MAX_FILE_BYTES) {
    errors.push(`${path}: longer than ${MAX_FILE_BYTES} bytes; this is not a settings file`);
    return;
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const place = (offset: number | undefined) => {
    const { line, col } = lines.linePos(offset ?? 0);
    return `${path}:${line}:${col}`;
  };
  if (document.errors.length > 0) {
    for (const error of document.errors) errors.push(`${place(error.pos[0])}: ${error.message}`);
    return;
  }
  const root = document.contents;
  if (root === null || (isScalar(root) && root.value === null)) return;
  if (!("items" in root) || document.toJS() === null || Array.isArray(document.toJS())) {
    errors.push(`${path}: expected settings, one 'name: value' a line`);
    return;
  }
  const values = document.toJS({ maxAliasCount: 10 }) as Record<string, unknown>;
  for (const item of root.items) {
    const key = "key" in item ? item.key : undefined;
    const written = isScalar(key) ? String(key.value) : String(key);
    const at = `${place(isScalar(key) ? key.range?.[0] : undefined)}: ${written}`;
    yield { name: NAMES.get(written), written, value: values[written], place: at, spell: (name) => name };
  }
}

function hint(name: string, known: Iterable<string>): string {
  const near = nearest(name, known);
  return near === null ? "" : `; did you mean '${near}'?`;
}

function check(setting: Setting, given: unknown): { value: unknown; messages: string[] } {
  const { value, violations } = validate(
    record({ it: setting.field }),
    given === undefined || given === null ? {} : { it: fromText(setting, given) },
  );
  return {
    value: (value as { it: unknown }).it,
    messages: violations.map(({ path, message: reason }) => {
      const message = setting.bytes ? `${reason}; bytes may be written as 512k, 8m or 1g` : reason;
      const index = path[1];
      return typeof index === "number" ? `entry ${index + 1}: ${message}` : message;
    }),
  };
}

/** Flags and environment variables are text, and Kong's files write lists and switches as text too. */
function fromText(setting: Setting, given: unknown): unknown {
  const field: Field = setting.field;
  if (typeof given !== "string") {
    // YAML reads `[8080]` or `prefix: 1` as numbers where a text is meant.
    if (field.type === "string" && typeof given === "number") return String(given);
    return given;
  }
  const text = given.trim();
  switch (field.type) {
    case "array":
    case "set":
      return text === ""
        ? []
        : text
            .split(",")
            .map((entry) => entry.trim())
            .filter((entry) => entry !== "");
    case "boolean":
      if (text === "on" || text === "true") return true;
      return text === "off" || text === "false" ? false : text;
    case "integer":
    case "number": {
      if (text === "auto" && setting === (SETTINGS.data_threads as unknown)) return null;
      const size = setting.bytes ? /^(\d{1,12})([kmg])$/i.exec(text) : null;
      if (size) return Number(size[1]) * 1024 ** " kmg".indexOf((size[2] as string).toLowerCase());
      return /^-?\d+(?:\.\d+)?$/.test(text) ? Number(text) : text;
    }
    default:
      return text;
  }
}
