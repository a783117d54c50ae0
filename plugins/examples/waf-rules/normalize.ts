/**
 * Brings what a client sent into the one form that rules are written for, because attacks come dressed: percent-
 * encoded once or twice, as HTML entities, in mixed case, with comments for spaces.
 */
import { type Context, isDeepJson } from "@gatehouse/sdk";
import { PLACES, type Place } from "./rules.ts";

const MAX_DEPTH = 100;

/** Each place of a request as text: one value a line, so that no rule sees two values as one. */
export function placesOf({ request }: Context, body: Uint8Array | null): Record<Place, string> {
  const type = request.headers.get("content-type") ?? "";
  const values: Record<Place, readonly string[]> = {
    path: [request.path],
    query: fieldsOf(request.query),
    headers: request.headers.entries().map(([, value]) => value),
    body: body === null ? [] : bodyValues(new TextDecoder().decode(body), type),
  };
  const out = {} as Record<Place, string>;
  for (const place of PLACES) out[place] = values[place].map(normalize).join("\n");
  return out;
}

function fieldsOf(text: string): string[] {
  if (text === "") return [];
  const fields = text.replaceAll("+", " ").split("&");
  return fields.flatMap((field) => {
    const equals = field.indexOf("=");
    return equals < 0 ? [field] : [field.slice(0, equals), field.slice(equals + 1)];
  });
}

function bodyValues(text: string, type: string): readonly string[] {
  if (/^application\/x-www-form-urlencoded\b/i.test(type)) return fieldsOf(text);
  if (!/json\b/i.test(type) || isDeepJson(text, MAX_DEPTH)) return [text];
  const values: string[] = [];
  try {
    JSON.parse(text, (name, value) => {
      values.push(name);
      if (typeof value === "string") values.push(value);
      return null; // what was read is not needed again
    });
    return values;
  } catch {
    return [text];
  }
}

/** Lower case, decoded twice, comments and runs of white space as one space. */
export function normalize(value: string): string {
  return decoded(decoded(value))
    .replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|lt|gt|quot|apos|amp);?/gi, entity)
    .replace(/\/\*[^*]{0,64}\*\//g, " ")
    .replace(/\s+/g, " ")
    .toLowerCase();
}

/** Undoes percent-encoding byte by byte; what is no escape stays. Bytes that are no UTF-8 are read as Latin-1. */
function decoded(text: string): string {
  if (!text.includes("%")) return text;
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (run) => {
    try {
      return decodeURIComponent(run);
    } catch {
      return run.replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
    }
  });
}

const NAMED: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

function entity(written: string, decimal: string | undefined, hex: string | undefined): string {
  const code = decimal === undefined ? Number.parseInt(hex ?? "", 16) : Number(decimal);
  if (code > 0 && code <= 0x10ffff) return String.fromCodePoint(code);
  return NAMED[written.replace(/[&;]/g, "").toLowerCase()] ?? written;
}
