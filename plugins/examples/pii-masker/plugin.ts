/**
 * pii-masker: takes personal data out of responses before they leave: e-mail addresses, payment cards, IBANs, and
 * whatever stands in named members of JSON.
 *
 * What it cannot read it does not let pass: a body that is encoded is refused, and one beyond the grant fails the
 * request (`fail: closed`).
 */
import { definePlugin, isDeepJson, type PluginResponse, record, reply, set, string } from "@gatehouse/sdk";

const KINDS = ["email", "card", "iban"] as const;
type Kind = (typeof KINDS)[number];

const schema = record({
  kinds: set(string({ oneOf: KINDS }), { default: ["email", "card"], description: "What is looked for." }),
  fields: set(string(), {
    default: [],
    lenMax: 100,
    description: "Members of JSON masked whatever they hold.",
  }),
  mask: string({ default: "***", lenMax: 32, description: "What stands there instead." }),
});

const READABLE = /^(?:text\/|application\/(?:json|xml|x-ndjson|[\w.-]+\+json|[\w.-]+\+xml)\b)/i;
const JSON_TYPE = /^application\/(?:json|[\w.-]+\+json)\b/i;
/** What JSON has and TypeScript's library does not tell of yet. */
const EXACT = JSON as unknown as {
  parse(
    text: string,
    reviver: (name: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
};
/** Deeper JSON is masked as text. */
const MAX_DEPTH = 200;

/** Digits, in groups perhaps; the look behind makes one attempt for each run of digits, so time stays linear. */
const CARD = /(?<![0-9])[0-9](?:[ -]?[0-9]){12,18}(?![0-9])/g;
const IBAN = /(?<![A-Z0-9])[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?(?![A-Z0-9])/g;

export default definePlugin({
  name: "pii-masker",
  version: "1.0.0",
  priority: 760,
  schema,
  create({ kinds, fields, mask }) {
    const masked = new Set(fields.map((name) => name.toLowerCase()));
    const clean = (text: string) => maskText(text, kinds, mask);

    function cleanJson(text: string): string {
      if (isDeepJson(text, MAX_DEPTH)) return clean(text);
      try {
        const value = EXACT.parse(text, (name, value, { source }) => {
          if (masked.has(name.toLowerCase())) return mask;
          if (typeof value === "string") return clean(value);
          if (typeof value !== "number" || source === undefined) return value;
          // A number is written as it came: 12345678901234567890 has no double of its own.
          return clean(source) === source ? EXACT.rawJSON(source) : mask;
        });
        return JSON.stringify(value);
      } catch {
        return clean(text);
      }
    }

    return {
      access(ctx) {
        // Nothing here inflates: the upstream is asked for plain text.
        ctx.request.headers.set("Accept-Encoding", "identity");
      },
      response(ctx) {
        const { response } = ctx;
        const type = response.headers.get("content-type") ?? "";
        if (response.body === null || response.body.length === 0 || !READABLE.test(type)) return;
        if (isEncoded(response)) return reply(502, { message: "The response cannot be checked" });
        const text = new TextDecoder().decode(response.body);
        const after = JSON_TYPE.test(type) ? cleanJson(text) : clean(text);
        if (after === text) return;
        response.setBody(new TextEncoder().encode(after));
        // They were made of the body as it was.
        for (const name of ["ETag", "Digest", "Content-Digest", "Content-MD5"]) response.headers.remove(name);
      },
    };
  },
});

function isEncoded(response: PluginResponse): boolean {
  const encoding = response.headers.get("content-encoding");
  return encoding !== undefined && encoding.toLowerCase() !== "identity";
}

function maskText(text: string, kinds: readonly Kind[], mask: string): string {
  let out = text;
  if (kinds.includes("email")) out = maskAddresses(out, mask);
  if (kinds.includes("iban")) out = out.replace(IBAN, (found) => (isIban(found) ? mask : found));
  if (kinds.includes("card")) out = out.replace(CARD, (found) => (isCard(found) ? mask : found));
  return out;
}

const isLocal = (code: number) => isWord(code) || "!#$%&'*+/=?^_`{|}~.-".includes(String.fromCharCode(code));
const isDomain = (code: number) => isWord(code) || code === 0x2d || code === 0x2e;

/** ASCII letters and digits, and everything beyond ASCII: names and domains are written in all scripts. */
function isWord(code: number): boolean {
  const lower = code | 0x20;
  return (code >= 0x30 && code <= 0x39) || (lower >= 0x61 && lower <= 0x7a) || code > 0x7f;
}

/** Outwards from each `@`: a pattern would try every letter of a long word as the start of an address. */
function maskAddresses(text: string, mask: string): string {
  let out = "";
  let from = 0;
  for (let at = text.indexOf("@"); at >= 0; at = text.indexOf("@", at + 1)) {
    let start = at;
    while (start > from && isLocal(text.charCodeAt(start - 1))) start--;
    let end = at + 1;
    while (end < text.length && isDomain(text.charCodeAt(end))) end++;
    while (end > at && !isWord(text.charCodeAt(end - 1))) end--; // the dot of a sentence
    if (start === at || !text.slice(at + 1, end).includes(".")) continue;
    out += text.slice(from, start) + mask;
    from = end;
  }
  return out + text.slice(from);
}

/** The checksum of card numbers (ISO/IEC 7812-1, Luhn's). */
function isCard(found: string): boolean {
  let sum = 0;
  let double = false;
  for (let i = found.length - 1; i >= 0; i--) {
    const digit = found.charCodeAt(i) - 0x30;
    if (digit < 0 || digit > 9) continue;
    sum += double ? (digit > 4 ? digit * 2 - 9 : digit * 2) : digit;
    double = !double;
  }
  return sum % 10 === 0;
}

/** The checksum of account numbers (ISO 13616): the first four characters moved to the end, mod 97 is 1. */
function isIban(found: string): boolean {
  const plain = found.replaceAll(" ", "");
  let rest = 0;
  for (const character of plain.slice(4) + plain.slice(0, 4)) {
    const value = Number.parseInt(character, 36);
    rest = (rest * (value > 9 ? 100 : 10) + value) % 97;
  }
  return rest === 1;
}
