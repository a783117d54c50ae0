/** Header fields as the Fetch Standard has them (section 2.2), for guests. */

type Init = Headers | Readonly<Record<string, string>> | Iterable<readonly [string, string]>;

export class Headers {
  #fields: [lower: string, value: string][] = [];

  /** @throws {TypeError} for names and values that no message may have. */
  constructor(init: Init = []) {
    const pairs = Symbol.iterator in init ? init : Object.entries(init);
    for (const [name, value] of pairs) this.append(name, value);
  }

  append(name: string, value: string): void {
    this.#fields.push([soundName(name), soundValue(value)]);
  }
  set(name: string, value: string): void {
    this.delete(name);
    this.append(name, value);
  }
  delete(name: string): void {
    const lower = soundName(name);
    this.#fields = this.#fields.filter(([key]) => key !== lower);
  }
  has(name: string): boolean {
    const lower = soundName(name);
    return this.#fields.some(([key]) => key === lower);
  }
  /** All values, joined. */
  get(name: string): string | null {
    const lower = soundName(name);
    const values = this.#fields.filter(([key]) => key === lower).map(([, value]) => value);
    return values.length === 0 ? null : values.join(", ");
  }
  getSetCookie(): string[] {
    return this.#fields.filter(([key]) => key === "set-cookie").map(([, value]) => value);
  }
  /** By name; each once with its values joined, `set-cookie` as often as it is there. */
  *entries(): IterableIterator<[string, string]> {
    for (const name of [...new Set(this.#fields.map(([key]) => key))].sort()) {
      if (name !== "set-cookie") yield [name, this.get(name) as string];
      else for (const value of this.getSetCookie()) yield [name, value];
    }
  }
  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }
  forEach(run: (value: string, name: string) => void): void {
    for (const [name, value] of this) run(value, name);
  }
}

function soundName(name: string): string {
  if (!/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) throw new TypeError(`'${name}' is no name of a header`);
  return name.toLowerCase();
}

function soundValue(value: string): string {
  const text = String(value).replace(/^[\t\n\r ]+|[\t\n\r ]+$/g, "");
  if (/[\0\n\r]|[^\0-\xff]/.test(text))
    throw new TypeError("a header's value holds what no message may have");
  return text;
}
