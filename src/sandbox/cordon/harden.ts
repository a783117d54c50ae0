/**
 * Makes a bare V8 context safe to put a guest into. Runs once per context, before guest code.
 * Part of the in-isolate runtime: see bootstrap.ts.
 *
 * Taken away is what was measured to pass an isolate's memory limit or its timer (resizable buffers,
 * WebAssembly, finalizers that run after the call) and what measures time finely. Then the intrinsics are
 * frozen, so that a call cannot leave a trap in a prototype for the next one.
 */

import { latin1Utf8, utf8Latin1 } from "../protocol/text.ts";

let now = 0;

/** Milliseconds since the epoch; stands still while a hook runs, so it cannot time anything. */
export function clock(): number {
  return now;
}

export function setClock(value: number): void {
  now = value;
}

const scope = globalThis as unknown as Record<string, unknown>;

export function harden(): void {
  for (const name of [
    "WebAssembly",
    "SharedArrayBuffer",
    "Atomics",
    "FinalizationRegistry",
    "WeakRef",
    "Intl", // its objects live outside of the counted heap, and format() without arguments reads the clock
    "Temporal", // Temporal.Now is a clock
    "console",
  ])
    delete scope[name];
  fixBuffers();
  fixDate();
  boundTexts();
  addEncoders();
  Object.defineProperty(Error, "prepareStackTrace", { value: undefined });
  Object.defineProperty(Error, "stackTraceLimit", { value: 10 });
  forbidCodeFromText();
  freezeIntrinsics();
  quickenTexts();
}

/** Only the artifact runs, which its digest names: no `eval`, no Function constructors. */
function forbidCodeFromText(): void {
  delete scope.eval;
  const kinds = [() => {}, async () => {}, function* () {}, async function* () {}];
  for (const kind of kinds) {
    const prototype = Object.getPrototypeOf(kind);
    const native = prototype.constructor;
    const replacement = () => {
      throw new EvalError("Code generation from strings disallowed for this context");
    };
    Object.defineProperty(replacement, "name", { value: native.name });
    Object.defineProperty(replacement, "prototype", { value: prototype, writable: false });
    Object.defineProperty(prototype, "constructor", { value: replacement });
    if (native === Function)
      Object.defineProperty(scope, "Function", { value: replacement, writable: true, configurable: true });
  }
}

/** The memory of a resizable buffer is not counted against the isolate's limit: only fixed ones exist. */
function fixBuffers(): void {
  const Native = ArrayBuffer;
  const prototype = Native.prototype as unknown as Record<string, unknown>;
  for (const name of ["resize", "resizable", "maxByteLength"]) delete prototype[name];
  const Fixed = function (this: unknown, length: unknown) {
    if (new.target === undefined) throw new TypeError("Constructor ArrayBuffer requires 'new'");
    return Reflect.construct(Native, [length], new.target);
  };
  replaceGlobal("ArrayBuffer", Fixed, Native, ["isView"]);
}

/** In characters. */
const MAX_LOCALE_TEXT = 65_536;

/**
 * What ICU does with a text cannot be interrupted and allocates outside of the counted heap: `normalize` made
 * 1.2 GB of 32 MB. So it works on texts of a bounded length.
 */
function boundTexts(): void {
  const prototype = String.prototype as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const name of ["normalize", "localeCompare", "toLocaleLowerCase", "toLocaleUpperCase"]) {
    const native = prototype[name] as (...args: unknown[]) => unknown;
    const bounded = {
      [name](this: unknown, ...args: unknown[]): unknown {
        // An object could become another text when it is asked again.
        const text = this === null || this === undefined ? this : String(this);
        if (name === "localeCompare") args[0] = String(args[0]);
        for (const given of [text, args[0]])
          if (typeof given === "string" && given.length > MAX_LOCALE_TEXT)
            throw new RangeError(`${name}: a text of more than ${MAX_LOCALE_TEXT} characters`);
        return Reflect.apply(native, text, args);
      },
    }[name];
    Object.defineProperty(prototype, name, { value: bounded, writable: true, configurable: true });
  }
}

function fixDate(): void {
  const Native = Date;
  const Frozen = function (this: unknown, ...args: unknown[]) {
    if (new.target === undefined) return new Native(now).toString();
    return Reflect.construct(Native, args.length === 0 ? [now] : args, new.target);
  };
  replaceGlobal("Date", Frozen, Native, ["parse", "UTC"]);
  Object.defineProperty(Frozen, "now", { value: clock, writable: true, configurable: true });
}

/** Puts `replacement` in the place of a built-in constructor; nothing leads to the original any more. */
function replaceGlobal(
  name: string,
  replacement: (...args: never) => unknown,
  native: { prototype: object },
  statics: string[],
): void {
  Object.defineProperty(replacement, "name", { value: name });
  Object.defineProperty(replacement, "prototype", { value: native.prototype, writable: false });
  Object.defineProperty(native.prototype, "constructor", { value: replacement });
  for (const key of statics) {
    const value = (native as unknown as Record<string, unknown>)[key];
    Object.defineProperty(replacement, key, { value, writable: true, configurable: true });
  }
  const species = Object.getOwnPropertyDescriptor(native, Symbol.species);
  if (species !== undefined) Object.defineProperty(replacement, Symbol.species, species);
  Object.defineProperty(scope, name, { value: replacement, writable: true, configurable: true });
}

export function latin1ToBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

export function bytesToLatin1(bytes: Uint8Array): string {
  if (bytes.length <= 8192) return fromCharCodes(bytes);
  const parts: string[] = [];
  for (let i = 0; i < bytes.length; i += 8192) parts.push(fromCharCodes(bytes.subarray(i, i + 8192)));
  return parts.join("");
}

function fromCharCodes(bytes: Uint8Array): string {
  return Reflect.apply(String.fromCharCode, null, bytes as unknown as number[]);
}

/** What the SDK and most bundled code expects of any JavaScript host, and V8 alone does not have. */
function addEncoders(): void {
  class TextEncoder {
    readonly encoding = "utf-8";
    encode(text: unknown = ""): Uint8Array {
      return latin1ToBytes(utf8Latin1(String(text)));
    }
  }
  class TextDecoder {
    readonly encoding = "utf-8";
    readonly #fatal: boolean;
    constructor(label: unknown = "utf-8", options: { fatal?: boolean } = {}) {
      if (!/^utf-?8$/i.test(String(label))) throw new RangeError("TextDecoder: only utf-8 is supported");
      this.#fatal = options.fatal === true;
    }
    decode(input?: Uint8Array | ArrayBuffer): string {
      if (input === undefined) return "";
      const bytes = input instanceof Uint8Array ? input : new Uint8Array(input);
      const text = bytesToLatin1(bytes);
      try {
        return latin1Utf8(text);
      } catch {
        if (this.#fatal) throw new TypeError("The encoded data was not valid for encoding utf-8");
        return lenientUtf8(bytes);
      }
    }
  }
  const added: Record<string, unknown> = {
    TextEncoder,
    TextDecoder,
    atob: (text: unknown) => {
      const bytes = fromBase64(String(text).replace(/[\t\n\f\r ]+/g, ""));
      return bytesToLatin1(bytes);
    },
    btoa: (text: unknown) => {
      const given = String(text);
      if (/[^\x00-\xff]/.test(given)) throw new RangeError("btoa: a character outside of Latin1");
      return toBase64(latin1ToBytes(given));
    },
    queueMicrotask: (run: () => void) => {
      Promise.resolve().then(run);
    },
  };
  for (const name of Object.keys(added))
    Object.defineProperty(scope, name, { value: added[name], writable: true, configurable: true });
}

/** Replaces each byte that is no part of a character by U+FFFD. */
function lenientUtf8(bytes: Uint8Array): string {
  const out: string[] = [];
  for (let i = 0; i < bytes.length; ) {
    const first = bytes[i] as number;
    const length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    try {
      out.push(latin1Utf8(bytesToLatin1(bytes.subarray(i, i + length))));
      i += length;
    } catch {
      out.push("\ufffd");
      i++;
    }
  }
  return out.join("");
}

/** V8's own, taken before a guest could see them: they are frozen with everything else. */
export function toBase64(bytes: Uint8Array): string {
  return bytes.toBase64();
}

export function fromBase64(text: string): Uint8Array {
  return Uint8Array.fromBase64(text);
}

/** Names that code commonly assigns on its own objects although a prototype has them. */
const OVERRIDDEN = new Set([
  "constructor",
  "toString",
  "toLocaleString",
  "valueOf",
  "hasOwnProperty",
  "isPrototypeOf",
  "propertyIsEnumerable",
  "toJSON",
  "name",
  "message",
  "next",
  "then",
  "call",
  "apply",
  "bind",
  "length",
]);

/**
 * Freezes every intrinsic that can be reached, and the bindings of the global object (which stays extensible:
 * what a resident guest keeps there is its own business).
 *
 * A frozen prototype would make `object.toString = ...` throw on every object below it, so the names above
 * become accessors whose setter defines the property on the receiver.
 */
function freezeIntrinsics(): void {
  const seen = new Set<object>();
  const todo: object[] = [];
  const visit = (value: unknown) => {
    if ((typeof value === "object" && value !== null) || typeof value === "function") {
      if (seen.has(value)) return;
      seen.add(value);
      todo.push(value);
    }
  };
  const names = Reflect.ownKeys(globalThis);
  for (const name of names) {
    if (name === "globalThis") continue;
    visit((globalThis as unknown as Record<PropertyKey, unknown>)[name]);
  }
  // Intrinsics that no global names.
  const prototypeOf = Object.getPrototypeOf;
  visit(prototypeOf(() => {}));
  visit(prototypeOf(async () => {}));
  visit(prototypeOf(function* () {}));
  visit(prototypeOf(async function* () {}));
  visit(prototypeOf([][Symbol.iterator]()));
  visit(prototypeOf(""[Symbol.iterator]()));
  visit(prototypeOf(new Map()[Symbol.iterator]()));
  visit(prototypeOf(new Set()[Symbol.iterator]()));
  visit(prototypeOf("".matchAll(/x/g)));
  visit(prototypeOf(Iterator.from({ next: () => ({ done: true, value: undefined }) } as never)));
  visit(prototypeOf([].values().map((value) => value)));
  while (todo.length > 0) {
    const object = todo.pop() as object;
    visit(prototypeOf(object));
    for (const key of Reflect.ownKeys(object)) {
      const property = Object.getOwnPropertyDescriptor(object, key) as PropertyDescriptor;
      visit(property.get);
      visit(property.set);
      if (!("value" in property)) continue;
      visit(property.value);
      const isPrototype = typeof object === "object";
      if (isPrototype && property.configurable && typeof key === "string" && OVERRIDDEN.has(key))
        allowOverride(object, key, property);
    }
    Object.freeze(object);
  }
  for (const name of Reflect.ownKeys(globalThis)) {
    const property = Object.getOwnPropertyDescriptor(globalThis, name);
    if (property?.configurable && "value" in property)
      Object.defineProperty(globalThis, name, { writable: false, configurable: false });
  }
}

/** Until V8 collects feedback on a function, and mends what it finds. */
const OFTEN = 1000;

/**
 * The accessors make V8 keep String.prototype as a dictionary, so that every use of a method of a text is a search
 * in it: 1.3 of the 6 us of a small call. It mends that when it meets the prototype below an object, and texts are none.
 */
function quickenTexts(): void {
  const text = new String("x");
  for (let i = 0; i < OFTEN; i++) text.charCodeAt(0);
}

function allowOverride(holder: object, key: string, property: PropertyDescriptor): void {
  const { value } = property;
  Object.defineProperty(holder, key, {
    get: Object.freeze(() => value),
    set: Object.freeze(function (this: unknown, given: unknown) {
      if (this === holder) throw new TypeError(`Cannot assign to read only property '${key}'`);
      if ((typeof this === "object" && this !== null) || typeof this === "function")
        Object.defineProperty(this, key, {
          value: given,
          writable: true,
          enumerable: true,
          configurable: true,
        });
    }),
    enumerable: property.enumerable ?? false,
    configurable: false,
  });
}
