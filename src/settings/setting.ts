/** One setting: what the table says of each, and how an entry is written. */
import { type Field, integer, type ValueOf } from "@gatehouse/sdk";

/** What reading one setting may depend on. */
export interface ReadContext {
  /** Directory that relative paths start from. */
  readonly directory: string;
  /** The working directory of the gateway, absolute. */
  readonly prefix: string;
  /** Whether there is a declarative configuration. */
  readonly isDeclarative: boolean;
}

export interface Setting<F extends Field = Field, T = unknown> {
  readonly field: F;
  /** Other names under which it may be set. */
  readonly aliases: readonly string[];
  /** Whether a string such as `8m` stands for a number of bytes. */
  readonly bytes: boolean;
  /** Whether its value is shown to nobody. */
  readonly secret: boolean;
  /** Turns the checked value into what the gateway uses. @throws {UnreadableValue} */
  readonly read: (value: ValueOf<F>, context: ReadContext) => T;
}

interface Extras {
  aliases?: readonly string[];
  bytes?: boolean;
  secret?: boolean;
}

const PLAIN = { aliases: [], bytes: false, secret: false };

export function plain<F extends Field>(field: F, extras: Extras = {}): Setting<F, ValueOf<F>> {
  return { field, ...PLAIN, ...extras, read: (value) => value };
}

export function read<F extends Field, T>(
  field: F,
  reader: (value: ValueOf<F>, context: ReadContext) => T,
  extras: Extras = {},
): Setting<F, T> {
  return { field, ...PLAIN, ...extras, read: reader };
}

export const MIB = 1 << 20;
export const DAY_MS = 86_400_000;
/** Milliseconds, a day at most. */
export const timeout = (byDefault: number, description: string) =>
  plain(integer({ default: byDefault, between: [1, DAY_MS], description }));
