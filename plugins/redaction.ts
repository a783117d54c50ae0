/**
 * What is taken out of a request before it is kept: everything by which somebody could get in anywhere, as far as its
 * name tells. A name that is not told of here, and a secret inside of a text, stay.
 */
import { mediaType, withoutMembers } from "./bodies.ts";
import { bytesToLatin1, latin1ToBytes } from "./urlencoded.ts";

export const REDACTED = "REDACTED";

const ALWAYS = new Set(["authorization", "proxy-authorization", "cookie", "set-cookie"]);
/** Names that say what they carry: `x-api-key`, `access_token`, `client_secret`. */
const SECRET_NAME =
  /pass(?:w(?:or)?d|phrase|code)|secret|token|(?:api|private|access|account|subscription|functions?)[_-]?key|credential|sess(?:ion|id)|jwt|bearer|auth(?!or)|(?:^|[_-])(?:otp|pin|cvv|cvc|sig|sid)(?:$|[_-])/i;
/** Headers whose value is a URL. */
const URLS = new Set(["referer", "location", "content-location"]);

type Field = readonly [name: string, value: string];

export class Redaction {
  readonly #headers: ReadonlySet<string>;
  readonly #parameters: ReadonlySet<string>;

  /** `credentials` are names of both, in lower case. */
  constructor(headers: readonly string[], parameters: readonly string[], credentials: readonly string[]) {
    const lower = (names: readonly string[]) => names.map((name) => name.toLowerCase());
    this.#headers = new Set([...ALWAYS, ...lower(headers), ...credentials]);
    this.#parameters = new Set([...lower(parameters), ...credentials]);
  }

  headers(fields: readonly Field[]): [string, string][] {
    return fields.map(([name, value]) => {
      const lower = name.toLowerCase();
      if (this.#headers.has(lower) || SECRET_NAME.test(lower)) return [name, REDACTED];
      return [name, URLS.has(lower) ? this.#url(value) : value];
    });
  }

  /** Of a query without `?`, or an urlencoded body. */
  query(text: string): string {
    if (text === "") return text;
    return text
      .split("&")
      .map((field) => {
        const equals = field.indexOf("=");
        if (equals < 0 || !this.#hides(decoded(field.slice(0, equals)))) return field;
        return `${field.slice(0, equals)}=${REDACTED}`;
      })
      .join("&");
  }

  /**
   * Of a whole body, as its type says.
   * @returns null for one in which nobody can look: it may hold anything.
   */
  body(bytes: Uint8Array, contentType: string | undefined, encoding: string | undefined): Uint8Array | null {
    if (encoding !== undefined && encoding.trim().toLowerCase() !== "identity") return null;
    const type = mediaType(contentType);
    if (type === "multipart") return null;
    if (type === "urlencoded") return latin1ToBytes(this.query(bytesToLatin1(bytes)));
    const json = withoutMembers(bytes, (name) => this.#hides(name), REDACTED);
    // Many send JSON as text, or without a type.
    return type === "json" ? json : (json ?? bytes);
  }

  /** Whether a part of a body of this type can be kept: in it nobody can look for names. */
  maybePart(contentType: string | undefined, encoding: string | undefined): boolean {
    return mediaType(contentType) === "other" && (encoding ?? "identity").trim().toLowerCase() === "identity";
  }

  #hides(name: string): boolean {
    return this.#parameters.has(name.toLowerCase()) || SECRET_NAME.test(name);
  }

  #url(value: string): string {
    const at = value.search(/[?#]/);
    if (at < 0) return value;
    // A fragment may carry parameters too (RFC 6749 section 4.2.2).
    const [query = "", ...fragment] = value.slice(at + 1).split("#");
    const rest = fragment.length === 0 ? "" : `#${this.query(fragment.join("#"))}`;
    return `${value.slice(0, at + 1)}${this.query(query)}${rest}`;
  }
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll("+", " "));
  } catch {
    return name;
  }
}
