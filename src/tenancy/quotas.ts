/**
 * What a workspace may have of the gateway beside its guests: requests a second, entities, their bytes. One table, of which
 * the workspace's field `quotas`, the setting `workspace_quotas` and docs/workspaces.md are made.
 */
import { type Field, integer, record } from "@gatehouse/sdk";

/** The operator's own, as in entities/workspaces.ts, which is made of this file. */
const OPERATORS = "default";

interface QuotaRow {
  readonly key: "requestsPerSecond" | "entities" | "routes" | "configBytes" | "bodyBytes";
  readonly bounds: string;
  readonly default: number;
  /** Least and most that an operator may set. */
  readonly between: readonly [number, number];
  /** What happens beyond it. */
  readonly beyond: string;
}

export const QUOTA_TABLE = {
  requests_per_second: {
    key: "requestsPerSecond",
    bounds: "requests in each second of the clock, over all data threads of a gateway; 0 for no bound",
    default: 0,
    between: [0, 10_000_000],
    beyond: "429 with Retry-After, before any plugin of the workspace runs",
  },
  entities: {
    key: "entities",
    bounds: "entities of all collections together",
    default: 100_000,
    between: [0, 10_000_000],
    beyond: "the write, or the file, is refused",
  },
  routes: {
    key: "routes",
    bounds: "routes",
    default: 20_000,
    between: [0, 10_000_000],
    beyond: "the write, or the file, is refused",
  },
  // Every thread holds all entities: few large ones are as dear as many small ones.
  config_bytes: {
    key: "configBytes",
    bounds: "bytes of its entities together, as JSON",
    default: 64 << 20,
    between: [0, 1 << 30],
    beyond: "the write, or the file, is refused",
  },
  // The main thread judges a body in one go, and reads it too if it is no document.
  body_bytes: {
    key: "bodyBytes",
    bounds: "bytes of one body that its tokens send to the Admin API, packages aside",
    default: 1 << 20,
    between: [1024, 64 << 20],
    beyond: "413; what is too long as a whole can be written in parts",
  },
} as const satisfies Record<string, QuotaRow>;

export type QuotaName = keyof typeof QUOTA_TABLE;
/** Some quotas by their written names; null and absent mean the same. */
export type GivenQuotas = Readonly<Partial<Record<QuotaName, number | null>>>;
export type Quotas = Readonly<Record<QuotaRow["key"], number>>;

const ROWS = Object.entries(QUOTA_TABLE) as [QuotaName, QuotaRow][];

/** The quotas of a workspace: its own go before the setting's, those before the defaults. `default` has its own alone. */
export function quotasOf(
  { name, quotas }: { readonly name: string; readonly quotas?: unknown },
  fromSettings: GivenQuotas,
): Quotas {
  const own = (quotas ?? {}) as GivenQuotas;
  const others: GivenQuotas = name === OPERATORS ? {} : fromSettings;
  const quota = ([written, { key, default: common }]: [QuotaName, QuotaRow]) => {
    const none = written === "requests_per_second" ? 0 : Number.POSITIVE_INFINITY;
    return [key, own[written] ?? others[written] ?? (name === OPERATORS ? none : common)];
  };
  return Object.fromEntries(ROWS.map(quota)) as Quotas;
}

/** What there is of a workspace, or would be. */
export interface Held {
  readonly entities: number;
  readonly routes: number;
  /** Of the entities together (entities/entity-bytes.ts). */
  readonly bytes: number;
}

/** What is wrong with as many entities as a workspace would have; null if nothing. */
export function overQuota(workspace: string, held: Held, quotas: Quotas): string | null {
  const rows = [
    [held.routes, "routes", quotas.routes],
    [held.entities, "entities", quotas.entities],
    [held.bytes, "bytes of entities", quotas.configBytes],
  ] as const;
  for (const [has, what, limit] of rows)
    if (has > limit)
      return `workspace '${workspace}' would have ${has} ${what} and may have ${limit}; delete some, or have the operator raise its quota`;
  return null;
}

/** The field `quotas` of a workspace. */
export function quotasField(): Field<GivenQuotas, false> {
  const fields = Object.fromEntries(
    ROWS.map(([name, { between, bounds }]) => [name, integer({ between, description: `Most ${bounds}.` })]),
  );
  const description = "What it may have, in place of the setting's and the defaults.";
  return record(fields, { description }) as Field<GivenQuotas, false>;
}

/**
 * Reads entries such as `routes=100` of a setting.
 * @returns the quotas, or what is wrong with the first entry that cannot be read.
 */
export function readQuotas(entries: readonly string[]): GivenQuotas | { readonly wrong: string } {
  const given: Partial<Record<QuotaName, number>> = {};
  for (const entry of entries) {
    const [name = "", written = ""] = entry.split("=", 2).map((part) => part.trim());
    const row = ROWS.find(([known]) => known === name)?.[1];
    if (row === undefined)
      return { wrong: `'${name}' is not known; allowed: ${ROWS.map(([known]) => known).join(", ")}` };
    const [least, most] = row.between;
    const value = /^\d{1,15}$/.test(written) ? Number(written) : -1;
    if (value < least || value > most)
      return { wrong: `'${entry}' is no quota; write ${name}=N with N between ${least} and ${most}` };
    if (given[name as QuotaName] !== undefined) return { wrong: `'${name}' is given twice` };
    given[name as QuotaName] = value;
  }
  return given;
}
