/**
 * URL and URLSearchParams for guests, whose engine has none: the WHATWG's URL Standard for `http`, `https`, `ws` and
 * `wss`. What it accepts reads as every browser reads it; what it does not know it refuses rather than guess: other
 * schemes, user names and passwords, hosts that need IDNA's tables (write `xn--…`), addresses in other than their usual form.
 */

const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: "80", https: "443", ws: "80", wss: "443" };

// Percent-encode sets (URL Standard section 1.3), as what stays of ASCII.
const IN_PATH = /[^!$%&'()*+,\-./0-9:;=@A-Z[\\\]_a-z|~]/;
const IN_QUERY = /[^!$%&()*+,\-./0-9:;=?@A-Z[\\\]^_`a-z{|}~]/;
const IN_FRAGMENT = /[^!#$%&'()*+,\-./0-9:;=?@A-Z[\\\]^_a-z{|}~]/;

interface Parts {
  readonly scheme: string;
  readonly hostname: string;
  readonly port: string;
  path: string;
  /** Null without a question mark, and so the fragment without its sign: an empty one shows in `href`. */
  query: string | null;
  fragment: string | null;
}

export class URL {
  readonly #parts: Parts;
  #params: URLSearchParams | undefined;

  /** @throws {TypeError} for what is no URL, or none of those that are supported. */
  constructor(url: string | URL, base?: string | URL) {
    this.#parts = parse(String(url), base === undefined ? null : partsOf(base));
  }

  /** Null for what the constructor refuses. */
  static parse(url: string | URL, base?: string | URL): URL | null {
    try {
      return new URL(url, base);
    } catch {
      return null;
    }
  }

  static canParse(url: string | URL, base?: string | URL): boolean {
    return URL.parse(url, base) !== null;
  }

  get protocol(): string {
    return `${this.#parts.scheme}:`;
  }
  get hostname(): string {
    return this.#parts.hostname;
  }
  get port(): string {
    return this.#parts.port;
  }
  get host(): string {
    return this.port === "" ? this.hostname : `${this.hostname}:${this.port}`;
  }
  get origin(): string {
    return `${this.protocol}//${this.host}`;
  }
  get pathname(): string {
    return this.#parts.path;
  }
  set pathname(path: string) {
    this.#parts.path = pathOf(path, "/");
  }
  /** With its question mark; empty if there is none. */
  get search(): string {
    return this.#parts.query ? `?${this.#parts.query}` : "";
  }
  set search(query: string) {
    this.#parts.query = query === "" ? null : encoded(query.replace(/^\?/, ""), IN_QUERY);
    this.#params = undefined;
  }
  get hash(): string {
    return this.#parts.fragment ? `#${this.#parts.fragment}` : "";
  }
  set hash(fragment: string) {
    this.#parts.fragment = fragment === "" ? null : encoded(fragment.replace(/^#/, ""), IN_FRAGMENT);
  }
  get searchParams(): URLSearchParams {
    this.#params ??= new URLSearchParams(`?${this.#parts.query ?? ""}`, (query) => {
      this.#parts.query = query === "" ? null : query;
    });
    return this.#params;
  }
  get href(): string {
    const { query, fragment } = this.#parts;
    const search = query === null ? "" : `?${query}`;
    return `${this.origin}${this.pathname}${search}${fragment === null ? "" : `#${fragment}`}`;
  }
  toString(): string {
    return this.href;
  }
  toJSON(): string {
    return this.href;
  }
}

function partsOf(base: string | URL): Parts {
  const { protocol, hostname, port, pathname, href } = typeof base === "string" ? new URL(base) : base;
  const [, query = null] = /^[^?#]*\?([^#]*)/.exec(href) ?? [];
  return { scheme: protocol.slice(0, -1), hostname, port, path: pathname, query, fragment: null };
}

function parse(given: string, base: Parts | null): Parts {
  const refuse = (why: string): never => {
    throw new TypeError(`'${given.slice(0, 100)}' is no URL that is supported: ${why}`);
  };
  const text = given
    .toWellFormed()
    .replace(/^[\0-\x20]+|[\0-\x20]+$/g, "")
    .replace(/[\t\n\r]/g, "");
  const [, scheme = "", rest = text] = /^([a-z][a-z0-9+.-]*):(.*)$/is.exec(text) ?? [];
  const known = scheme.toLowerCase();
  if (scheme !== "" && !Object.hasOwn(DEFAULT_PORTS, known)) refuse(`scheme '${known}'`);
  if (scheme !== "" && !/^[\\/]{2}/.test(rest)) refuse("'//' is missing behind the scheme");
  if (scheme === "" && base === null) return refuse("it has no scheme, and there is no base");
  const [, before = "", query = null, fragment = null] =
    /^([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s.exec(rest) ?? [];
  const more = {
    query: query === null ? null : encoded(query, IN_QUERY),
    fragment: fragment === null ? null : encoded(fragment, IN_FRAGMENT),
  };
  if (scheme !== "" || /^[\\/]{2}/.test(before)) {
    const own = scheme === "" ? (base as Parts).scheme : known;
    const [, authority = "", path = ""] = /^[\\/]*([^\\/]*)(.*)$/s.exec(before) ?? [];
    if (authority.includes("@")) refuse("user and password");
    const [, host = "", port = ""] = /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/.exec(authority) ?? [];
    const hostname = hostOf(host) ?? refuse(`host '${host}'`);
    if (Number(port) > 65535) refuse(`port ${port}`);
    const number = port === "" ? "" : String(Number(port));
    return {
      scheme: own,
      hostname,
      port: number === DEFAULT_PORTS[own] ? "" : number,
      path: pathOf(path, "/"),
      ...more,
    };
  }
  const { path, ...origin } = base as Parts;
  if (before === "") return { ...origin, path, ...more, query: query === null ? origin.query : more.query };
  return { ...origin, ...more, path: pathOf(before, path) };
}

/** Null for a host that is none, or that would need tables. */
function hostOf(written: string): string | null {
  if (written.startsWith("[")) return addressOf(written.slice(1, -1));
  const host = written.toLowerCase();
  if (!/^[a-z0-9_~-]+(?:\.[a-z0-9_~-]+)*\.?$/.test(host)) return null;
  const last = host.replace(/\.$/, "").split(".").at(-1) as string;
  const isAddress = /^(?:\d+|0x[0-9a-f]*)$/.test(last);
  return !isAddress || /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/.test(host) ? host : null;
}

/** An IPv6 address in its shortest form (URL Standard, "IPv6 serializer"). */
function addressOf(written: string): string | null {
  const halves = written.toLowerCase().split("::");
  if (halves.length > 2) return null;
  const [left = [], right = []] = halves.map((half) => (half === "" ? [] : half.split(":")));
  const missing = 8 - left.length - right.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return null;
  const groups = [...left, ...Array.from({ length: missing }, () => "0"), ...right];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/.test(group))) return null;
  const short = groups.map((group) => Number.parseInt(group, 16).toString(16)).join(":");
  const runs = [...short.matchAll(/(?:^|(?<=:))0(?::0)+(?=:|$)/g)];
  const longest = runs.reduce((best, [run]) => (run.length > best.length ? run : best), "");
  if (longest === "") return `[${short}]`;
  const at = (runs.find(([run]) => run === longest) as RegExpExecArray).index;
  const before = short.slice(0, at).replace(/:$/, "");
  return `[${before}::${short.slice(at + longest.length).replace(/^:/, "")}]`;
}

/** A path with its dots resolved, on top of another unless it begins with a slash. */
function pathOf(written: string, base: string): string {
  const slashed = written.replaceAll("\\", "/");
  const segments = slashed.startsWith("/") ? [] : base.split("/").slice(1, -1);
  const added = slashed.replace(/^\//, "").split("/");
  for (const [i, segment] of added.entries()) {
    const isLast = i === added.length - 1;
    const plain = segment.replace(/%2e/gi, ".");
    if (plain === "..") segments.pop();
    if (plain !== "." && plain !== "..") segments.push(encoded(segment, IN_PATH));
    else if (isLast) segments.push("");
  }
  return `/${segments.join("/")}`;
}

const encoder = new TextEncoder();

function encoded(text: string, set: RegExp): string {
  if (!set.test(text)) return text;
  let out = "";
  for (const character of text.toWellFormed())
    out += set.test(character)
      ? [...encoder.encode(character)]
          .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`)
          .join("")
      : character;
  return out;
}

type Init = string | URLSearchParams | Readonly<Record<string, string>> | Iterable<readonly [string, string]>;

export class URLSearchParams {
  #pairs: [string, string][] = [];
  readonly #changed: (query: string) => void;

  /** `changed` hears of the new query after each change. */
  constructor(init: Init = "", changed: (query: string) => void = () => undefined) {
    this.#changed = changed;
    if (typeof init === "string") this.#pairs = readQuery(init.replace(/^\?/, ""));
    else if (Symbol.iterator in init)
      this.#pairs = [...init].map(([name, value]) => [String(name), String(value)]);
    else this.#pairs = Object.entries(init).map(([name, value]) => [name, String(value)]);
  }

  get size(): number {
    return this.#pairs.length;
  }
  get(name: string): string | null {
    return this.#pairs.find(([key]) => key === name)?.[1] ?? null;
  }
  getAll(name: string): string[] {
    return this.#pairs.filter(([key]) => key === name).map(([, value]) => value);
  }
  has(name: string): boolean {
    return this.#pairs.some(([key]) => key === name);
  }
  append(name: string, value: string): void {
    this.#pairs.push([name, String(value)]);
    this.#changed(this.toString());
  }
  /** In the place of the first one, without the others. */
  set(name: string, value: string): void {
    const at = this.#pairs.findIndex(([key]) => key === name);
    if (at < 0) return this.append(name, value);
    this.#pairs = this.#pairs.filter(([key], i) => key !== name || i === at);
    this.#pairs[at] = [name, String(value)];
    this.#changed(this.toString());
  }
  delete(name: string): void {
    this.#pairs = this.#pairs.filter(([key]) => key !== name);
    this.#changed(this.toString());
  }
  sort(): void {
    this.#pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    this.#changed(this.toString());
  }
  entries(): IterableIterator<[string, string]> {
    return this.#pairs.map(([name, value]): [string, string] => [name, value]).values();
  }
  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }
  toString(): string {
    return this.#pairs.map(([name, value]) => `${formEncoded(name)}=${formEncoded(value)}`).join("&");
  }
}

function readQuery(query: string): [string, string][] {
  const fields = query.split("&").filter((field) => field !== "");
  return fields.map((field) => {
    const equals = field.indexOf("=");
    const name = equals < 0 ? field : field.slice(0, equals);
    return [formDecoded(name), equals < 0 ? "" : formDecoded(field.slice(equals + 1))];
  });
}

/** What is no escape stays; bytes that are no UTF-8 become U+FFFD. */
function formDecoded(text: string): string {
  const bytes = encoder.encode(text.replaceAll("+", " "));
  const out: number[] = [];
  for (let i = 0; i < bytes.length; i++) {
    const hex = String.fromCharCode(bytes[i + 1] ?? 0, bytes[i + 2] ?? 0);
    const isEscape = bytes[i] === 0x25 && /^[0-9a-f]{2}$/i.test(hex);
    out.push(isEscape ? Number.parseInt(hex, 16) : (bytes[i] as number));
    if (isEscape) i += 2;
  }
  return new TextDecoder().decode(new Uint8Array(out));
}

function formEncoded(text: string): string {
  return encodeURIComponent(text.toWellFormed())
    .replace(/[!'()~]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");
}
