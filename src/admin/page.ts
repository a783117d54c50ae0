/** Lists as Kong's Admin API gives them: in pages by `size` and `offset`, filtered by `tags`. */
import { numbered } from "./answers.ts";

const DEFAULT_SIZE = 100;
const MAX_SIZE = 1000;
/** Of a page: one that would be larger ends before, and says where to go on. */
const MAX_PAGE_BYTES = 4 << 20;

export type Query = Readonly<Record<string, unknown>>;

interface Listed {
  readonly id: string;
  readonly tags?: readonly string[] | null;
}

export interface Page<T> {
  readonly data: readonly T[];
  /** Absent on the last page. */
  readonly offset?: string;
  readonly next: string | null;
}

export interface PageOptions<T> {
  /** Whether `next` leaves out size and tags, as Kong's nested lists do. */
  readonly nested?: boolean;
  /** Other parameters that the list goes by, for `next`. */
  readonly filters?: readonly string[];
  /** How much an item adds to the page. */
  readonly bytesOf?: (item: T) => number;
}

/**
 * One page of `items`, which are in the order of their ids: an entity that comes or goes between two pages shifts none
 * of the others.
 * @param path of the list, for `next`.
 * @throws {Refusal} 400
 */
export function pageOf<T extends Listed>(
  items: readonly T[],
  query: Query,
  path: string,
  { nested = false, bytesOf = () => 0, filters = [] }: PageOptions<T> = {},
): Page<T> {
  const size = readSize(query.size);
  const after = readOffset(query.offset);
  const matches = tagFilter(query.tags);
  const data: T[] = [];
  let more = false;
  let bytes = 0;
  for (let at = after === "" ? 0 : firstAfter(items, after); at < items.length; at++) {
    const item = items[at] as T;
    if (!matches(item)) continue;
    bytes += bytesOf(item);
    more = data.length === size || (data.length > 0 && bytes > MAX_PAGE_BYTES);
    if (more) break;
    data.push(item);
  }
  const last = data.at(-1);
  if (!more || !last) return { data, next: null };
  const offset = Buffer.from(last.id).toString("base64");
  const next = new URLSearchParams({ offset });
  for (const filter of filters) if (typeof query[filter] === "string") next.set(filter, query[filter]);
  if (!nested && query.size !== undefined) next.set("size", String(size));
  if (!nested && typeof query.tags === "string") next.set("tags", query.tags);
  return { data, offset, next: `${path}?${next}` };
}

/** In the order of their ids. */
export function byId<T extends Listed>(items: readonly T[]): T[] {
  return items.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

function firstAfter(items: readonly Listed[], id: string): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((items[middle] as Listed).id <= id) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function readSize(written: unknown): number {
  if (written === undefined) return DEFAULT_SIZE;
  const size = typeof written === "string" && /^\d{1,4}$/.test(written) ? Number(written) : 0;
  if (size < 1 || size > MAX_SIZE)
    throw numbered("invalidSize", `size must be an integer between 1 and ${MAX_SIZE}`);
  return size;
}

/** The id after which the page begins. */
function readOffset(written: unknown): string {
  if (written === undefined) return "";
  const text = typeof written === "string" ? written : "";
  const id = Buffer.from(text, "base64").toString("latin1");
  if (!/^[\x21-\x7e]{1,128}$/.test(id) || Buffer.from(id).toString("base64") !== text)
    throw numbered("invalidOffset", `'${text.slice(0, 100)}' is not a valid offset: bad base64 encoding`);
  return id;
}

/** `a,b`: both; `a/b`: either. */
function tagFilter(written: unknown): (item: Listed) => boolean {
  if (written === undefined) return () => true;
  const text = typeof written === "string" ? written : "";
  const wrong = () =>
    numbered("invalidOptions", "invalid option (tags: invalid filter syntax)", {
      options: { tags: "invalid filter syntax" },
    });
  if (text.includes(",") && text.includes("/")) throw wrong();
  const either = text.includes("/");
  const wanted = text.split(either ? "/" : ",").filter((tag) => tag !== "");
  if (wanted.length === 0) throw wrong();
  return ({ tags }) =>
    either ? wanted.some((tag) => tags?.includes(tag)) : wanted.every((tag) => tags?.includes(tag));
}
