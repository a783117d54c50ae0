/**
 * Reads the plain part of YAML, which is what most configurations and all compact JSON are made of: block maps
 * and lists, flow collections, and scalars of one line. Whatever else it meets, valid or not, it gives up, and
 * the YAML library reads the text.
 *
 * Why a second reader: the library's syntax tree takes 1.5 GB and eight seconds for 100,000 routes. This one
 * builds the values alone. The rule that keeps it honest: it either returns what the library would, or nothing.
 */

/** Offsets of the parts of a container: of list items, or of a map's keys and values. */
export type Offsets = number[] | Map<string, readonly [key: number, value: number]>;

export interface PlainDocument {
  readonly value: unknown;
  /** Where the root starts. */
  readonly offset: number;
}

const MAX_DEPTH = 64;
/** YAML's bound on a key that shares its line with the value. */
const MAX_KEY = 1000;

const KEY = /[A-Za-z_][A-Za-z0-9_./-]*(?=:(?: |\n|$))/y;
const FLOW_KEY = /[A-Za-z_][A-Za-z0-9_./-]*(?=: )/y;
/** Keys that are not text for YAML, and the one that is not a key for us. */
const UNTEXTUAL = /^(?:true|false|null|__proto__)$/i;
const INTEGER = /^[-+]?[0-9]{1,15}$/;
/** Notations of numbers that begin with a digit: anything near one is the library's to read. */
const NUMERIC_FORM = /^[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]*)?$|^0[xo]/;
const WORDS: ReadonlyMap<string, boolean | null> = new Map<string, boolean | null>([
  ...["true", "True", "TRUE"].map((word) => [word, true] as const),
  ...["false", "False", "FALSE"].map((word) => [word, false] as const),
  ...["null", "Null", "NULL", "~"].map((word) => [word, null] as const),
]);

/** What makes the reader give up; it never leaves this file. */
const GIVE_UP = Symbol("not plain YAML");

/**
 * @param offsets is filled with the places of all parts when it is given; without it reading is faster.
 * @returns undefined if the text is not plain.
 */
export function readPlainYaml(text: string, offsets: Map<object, Offsets> | null): PlainDocument | undefined {
  try {
    return new PlainReader(text, offsets).document();
  } catch (error) {
    if (error === GIVE_UP) return undefined;
    throw error;
  }
}

class PlainReader {
  readonly #text: string;
  readonly #offsets: Map<object, Offsets> | null;
  #pos = 0;
  /** Column of the content at `#pos`, if it is the first of its line; -1 at the end of the text. */
  #column = 0;

  constructor(text: string, offsets: Map<object, Offsets> | null) {
    this.#text = text;
    this.#offsets = offsets;
  }

  document(): PlainDocument {
    if (/^\ufeff|[\r\t\u0000-\u0008\u000b-\u001f\u007f\u0085\u2028\u2029]/.test(this.#text)) throw GIVE_UP;
    if (this.#text.startsWith("---\n")) this.#pos = 4;
    this.#nextContent();
    if (this.#column < 0) throw GIVE_UP;
    const offset = this.#pos;
    const first = this.#text[offset]!;
    const value = first === "{" || first === "[" ? this.#rootFlow() : this.#block(0);
    if (this.#column >= 0) throw GIVE_UP;
    return { value, offset };
  }

  #rootFlow(): unknown {
    const value = this.#flow(0, true);
    this.#endLine();
    return value;
  }

  /** From the start of a line to the next content: blank lines and comments are passed over. */
  #nextContent(): void {
    const text = this.#text;
    for (;;) {
      const start = this.#pos;
      let pos = start;
      while (text.charCodeAt(pos) === 0x20) pos++;
      const code = text.charCodeAt(pos);
      if (Number.isNaN(code)) {
        this.#pos = pos;
        this.#column = -1;
        return;
      }
      if (code === 0x23) {
        pos = text.indexOf("\n", pos);
        this.#pos = pos === -1 ? text.length : pos + 1;
        continue;
      }
      if (code === 0x0a) {
        this.#pos = pos + 1;
        continue;
      }
      this.#pos = pos;
      this.#column = pos - start;
      if (this.#column === 0 && (code === 0x25 || text.startsWith("---", pos) || text.startsWith("...", pos)))
        throw GIVE_UP;
      return;
    }
  }

  /** After a value: nothing but a comment may follow on the line. Moves to the next content. */
  #endLine(): void {
    const text = this.#text;
    let pos = this.#pos;
    while (text.charCodeAt(pos) === 0x20) pos++;
    const code = text.charCodeAt(pos);
    if (code === 0x23 && pos > this.#pos) {
      pos = text.indexOf("\n", pos);
      if (pos === -1) pos = text.length;
    } else if (code !== 0x0a && !Number.isNaN(code)) throw GIVE_UP;
    this.#pos = pos + 1;
    if (pos >= text.length) {
      this.#pos = text.length;
      this.#column = -1;
    } else this.#nextContent();
  }

  #isItem(): boolean {
    const next = this.#text.charCodeAt(this.#pos + 1);
    return (
      this.#text.charCodeAt(this.#pos) === 0x2d && (next === 0x20 || next === 0x0a || Number.isNaN(next))
    );
  }

  /** A block value that starts a line at the present column. */
  #block(depth: number): unknown {
    if (this.#isItem()) return this.#list(this.#column, depth);
    if (this.#startsMap()) return this.#map(this.#column, depth);
    throw GIVE_UP;
  }

  /** Whether a key and its colon are next. */
  #startsMap(): boolean {
    const code = this.#text.charCodeAt(this.#pos);
    if (code !== 0x22 && code !== 0x27) {
      KEY.lastIndex = this.#pos;
      return KEY.test(this.#text);
    }
    const start = this.#pos;
    this.#quoted();
    const colon = this.#text.charCodeAt(this.#pos) === 0x3a;
    this.#pos = start;
    return colon;
  }

  #list(column: number, depth: number): unknown[] {
    if (depth > MAX_DEPTH) throw GIVE_UP;
    const out: unknown[] = [];
    const places: number[] | null = this.#offsets ? [] : null;
    if (places) this.#offsets!.set(out, places);
    while (this.#column === column && this.#isItem()) {
      const dash = this.#pos;
      let pos = dash + 1;
      while (this.#text.charCodeAt(pos) === 0x20) pos++;
      this.#pos = pos;
      const code = this.#text.charCodeAt(pos);
      if (code === 0x0a || code === 0x23 || Number.isNaN(code)) {
        this.#pos = Math.min(pos, dash + 1);
        this.#endLine();
        places?.push(this.#column > column ? this.#pos : dash);
        out.push(this.#column > column ? this.#block(depth + 1) : null);
      } else {
        places?.push(pos);
        out.push(this.#inline(column + pos - dash, depth + 1));
      }
    }
    if (this.#column > column) throw GIVE_UP;
    return out;
  }

  /** The value after a dash, on its line: another list, a map, or a scalar. */
  #inline(column: number, depth: number): unknown {
    if (this.#isItem()) {
      this.#column = column;
      return this.#list(column, depth);
    }
    if (this.#startsMap()) {
      this.#column = column;
      return this.#map(column, depth);
    }
    return this.#lineValue(depth);
  }

  #map(column: number, depth: number): Record<string, unknown> {
    if (depth > MAX_DEPTH) throw GIVE_UP;
    const out: Record<string, unknown> = {};
    const places = this.#offsets ? new Map<string, readonly [number, number]>() : null;
    if (places) this.#offsets!.set(out, places);
    while (this.#column === column) {
      const keyAt = this.#pos;
      const key = this.#key(KEY);
      if (Object.hasOwn(out, key)) throw GIVE_UP;
      let pos = this.#pos + 1;
      while (this.#text.charCodeAt(pos) === 0x20) pos++;
      const code = this.#text.charCodeAt(pos);
      if (code === 0x0a || code === 0x23 || Number.isNaN(code)) {
        this.#pos++;
        this.#endLine();
        const below = this.#column > column;
        const list = this.#column === column && this.#isItem();
        places?.set(key, [keyAt, below || list ? this.#pos : keyAt]);
        out[key] = below ? this.#block(depth + 1) : list ? this.#list(column, depth + 1) : null;
      } else {
        if (pos === this.#pos + 1) throw GIVE_UP;
        this.#pos = pos;
        places?.set(key, [keyAt, pos]);
        out[key] = this.#lineValue(depth + 1);
      }
    }
    if (this.#column > column) throw GIVE_UP;
    return out;
  }

  /** A key; leaves the position at its colon. */
  #key(plain: RegExp): string {
    const code = this.#text.charCodeAt(this.#pos);
    let key: string;
    const start = this.#pos;
    if (code === 0x22 || code === 0x27) {
      key = this.#quoted();
      if (this.#text.charCodeAt(this.#pos) !== 0x3a || key === "__proto__") throw GIVE_UP;
    } else {
      plain.lastIndex = this.#pos;
      const match = plain.exec(this.#text);
      if (!match || UNTEXTUAL.test(match[0])) throw GIVE_UP;
      key = match[0];
      this.#pos += key.length;
    }
    if (this.#pos - start > MAX_KEY) throw GIVE_UP;
    return key;
  }

  /** A scalar or flow collection up to the end of its line. */
  #lineValue(depth: number): unknown {
    const text = this.#text;
    const start = this.#pos;
    const code = text.charCodeAt(start);
    let value: unknown;
    if (code === 0x22 || code === 0x27) value = this.#quoted();
    else if (code === 0x5b || code === 0x7b) value = this.#flow(depth, false);
    else {
      let end = text.indexOf("\n", start);
      if (end === -1) end = text.length;
      let plain = text.slice(start, end);
      const comment = plain.indexOf(" #");
      if (comment !== -1) plain = plain.slice(0, comment);
      plain = plain.trimEnd();
      if (plain.includes(": ") || plain.endsWith(":")) throw GIVE_UP;
      value = resolve(plain);
      this.#pos = start + plain.length;
    }
    this.#endLine();
    return value;
  }

  /** A quoted scalar of one line; leaves the position after it. */
  #quoted(): string {
    const text = this.#text;
    const start = this.#pos;
    const quote = text[start]!;
    let end = start + 1;
    for (;;) {
      const code = text.charCodeAt(end);
      if (code === 0x0a || Number.isNaN(code)) throw GIVE_UP;
      if (code === 0x5c && quote === '"') {
        end += 2;
        continue;
      }
      if (code === quote.charCodeAt(0)) {
        if (quote === '"' || text[end + 1] !== "'") break;
        end++;
      }
      end++;
    }
    this.#pos = end + 1;
    const inner = text.slice(start + 1, end);
    if (quote === "'") return inner.replaceAll("''", "'");
    if (!inner.includes("\\")) return inner;
    // JSON's escapes mean the same in YAML; its others are the library's matter.
    try {
      return JSON.parse(text.slice(start, end + 1)) as string;
    } catch {
      throw GIVE_UP;
    }
  }

  #space(lines: boolean): void {
    const text = this.#text;
    for (;;) {
      const code = text.charCodeAt(this.#pos);
      if (code === 0x20 || (code === 0x0a && lines)) this.#pos++;
      else return;
    }
  }

  /** `[...]` or `{...}`. Only the root may span lines: elsewhere YAML has rules about their indentation. */
  #flow(depth: number, lines: boolean): unknown {
    if (depth > MAX_DEPTH) throw GIVE_UP;
    return this.#text[this.#pos] === "[" ? this.#flowList(depth, lines) : this.#flowMap(depth, lines);
  }

  #flowList(depth: number, lines: boolean): unknown[] {
    const out: unknown[] = [];
    const places: number[] | null = this.#offsets ? [] : null;
    if (places) this.#offsets!.set(out, places);
    this.#pos++;
    this.#space(lines);
    if (this.#text[this.#pos] === "]") {
      this.#pos++;
      return out;
    }
    for (;;) {
      places?.push(this.#pos);
      out.push(this.#flowValue(depth, lines));
      this.#space(lines);
      const next = this.#text[this.#pos++];
      if (next === "]") return out;
      if (next !== ",") throw GIVE_UP;
      this.#space(lines);
    }
  }

  #flowMap(depth: number, lines: boolean): Record<string, unknown> {
    const out: Record<string, unknown> = {};
    const places = this.#offsets ? new Map<string, readonly [number, number]>() : null;
    if (places) this.#offsets!.set(out, places);
    this.#pos++;
    this.#space(lines);
    if (this.#text[this.#pos] === "}") {
      this.#pos++;
      return out;
    }
    for (;;) {
      const keyAt = this.#pos;
      const key = this.#key(FLOW_KEY);
      if (Object.hasOwn(out, key)) throw GIVE_UP;
      this.#pos++;
      this.#space(lines);
      places?.set(key, [keyAt, this.#pos]);
      out[key] = this.#flowValue(depth, lines);
      this.#space(lines);
      const next = this.#text[this.#pos++];
      if (next === "}") return out;
      if (next !== ",") throw GIVE_UP;
      this.#space(lines);
    }
  }

  #flowValue(depth: number, lines: boolean): unknown {
    const text = this.#text;
    const code = text.charCodeAt(this.#pos);
    if (code === 0x22 || code === 0x27) return this.#quoted();
    if (code === 0x5b || code === 0x7b) return this.#flow(depth + 1, lines);
    const start = this.#pos;
    let end = start;
    for (; ; end++) {
      const at = text.charCodeAt(end);
      if (at === 0x2c || at === 0x5d || at === 0x7d || at === 0x0a) break;
      // A colon may begin a pair and a sharp a comment; brackets inside plain text are an error.
      if (at === 0x5b || at === 0x7b || at === 0x23 || Number.isNaN(at)) throw GIVE_UP;
      if (at === 0x3a && /[\s,[\]{}]/.test(text[end + 1] ?? " ")) throw GIVE_UP;
    }
    const plain = text.slice(start, end).trimEnd();
    this.#pos = start + plain.length;
    return resolve(plain);
  }
}

/** A plain scalar by YAML 1.2's core schema. */
function resolve(plain: string): unknown {
  const code = plain.charCodeAt(0);
  const isLetter = (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a);
  if (isLetter || plain === "~") {
    const word = WORDS.get(plain);
    return word === undefined ? plain : word;
  }
  if (INTEGER.test(plain)) return Number.parseInt(plain, 10);
  if (code === 0x2f || code === 0x5f || code > 0x7f) return plain;
  // `~/...` is a route's pattern, `*` an alias, `-` may open a list, and so on: only what is surely text.
  if (code === 0x7e && plain.charCodeAt(1) === 0x2f) return plain;
  if (code >= 0x30 && code <= 0x39 && !NUMERIC_FORM.test(plain)) return plain;
  throw GIVE_UP;
}
