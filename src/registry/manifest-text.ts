/**
 * The text of a `plugin.yaml`, looked over before YAML's parser gets it. The parser takes up to a second for 64 KiB
 * that are made for it, on the thread that also serves the Admin API; its lexer, which is asked here first, takes
 * a millisecond or two for as much as is let through.
 */
import { CST, Lexer, LineCounter, parseDocument } from "yaml";
import { Locator, type Place, placeAt } from "../declarative/locator.ts";

/**
 * The largest manifest of a plugin in this repository has 500 bytes. What takes room is `schema`: 16 KiB are some 150
 * fields with their types, defaults and rules.
 */
export const MAX_MANIFEST_BYTES = 16 * 1024;

/** Tokens of YAML, lines and escapes: what the parser takes its time for. A line such as `name: hello` has eight. */
export const MAX_MANIFEST_PARTS = 5000;

/** Lists and maps inside one another, one for each column of indentation at most. A schema may have 16 levels. */
export const MAX_MANIFEST_DEPTH = 64;

const MAX_PROBLEMS = 20;

/** What is wrong with a text; without a line where it is about the whole. */
export interface TextProblem extends Partial<Place> {
  readonly message: string;
}

export type ManifestText =
  | {
      readonly value: unknown;
      /** Where a path leads: the value, or its key; what is not there has the place of what should hold it. */
      locate(path: readonly (string | number)[], atKey: boolean): Place;
      readonly problems?: undefined;
    }
  | { readonly problems: readonly TextProblem[] };

/** What the text says, or what is wrong with it. Never throws. */
export function readManifestText(text: string): ManifestText {
  const refusal = refusalOf(text);
  if (refusal !== null) return { problems: [refusal] };
  try {
    const lineCounter = new LineCounter();
    // Errors with an excerpt of the text take most of the time of a text with many.
    const document = parseDocument(text, { prettyErrors: false, lineCounter });
    const found = [...document.errors, ...document.warnings];
    const problems: TextProblem[] = found
      .slice(0, MAX_PROBLEMS)
      .map(({ message, pos }) => ({ message: firstLine(message), ...placeAt(lineCounter, pos[0]) }));
    if (found.length > MAX_PROBLEMS) problems.push({ message: `and ${found.length - MAX_PROBLEMS} more` });
    if (problems.length > 0) return { problems };
    // Without anchors there is nothing to follow.
    const locator = new Locator(document, new Map(), lineCounter);
    return {
      // Without aliases a document is never larger than its text.
      value: document.toJS({ maxAliasCount: 0 }),
      locate: (path, atKey) => locator.locate({ path, atKey }),
    };
  } catch (error) {
    return { problems: [{ message: `cannot be read: ${firstLine((error as Error).message)}` }] };
  }
}

const REFUSED: Readonly<Partial<Record<CST.TokenType, string>>> = {
  anchor: "an anchor (&name) is not allowed: write the value where it is needed",
  alias: "an alias (*name) is not allowed: write the value where it is needed",
  tag: "a tag (!name) is not allowed: plain values have the types they need",
  "directive-line": "a directive (%NAME) is not allowed",
};

/** Signs that are a fault after others: one at a time, so that a text is not made of faults. */
const FOLLOWS: Readonly<Record<string, readonly string[]>> = { ",": [",", "[", "{"], ":": [":"] };

/** Why the parser is not asked at all; null for a text that it may have. */
function refusalOf(text: string): TextProblem | null {
  const depth = new Depth();
  let line = 1;
  let parts = 0;
  let before = "";
  const refusal = (message: string): TextProblem => ({ message, line });
  for (const token of new Lexer().lex(text)) {
    const type = CST.tokenType(token);
    const refused = type === null ? undefined : REFUSED[type];
    if (refused !== undefined) return refusal(refused);
    if (Object.hasOwn(FOLLOWS, token) && FOLLOWS[token]?.includes(before))
      return refusal(`'${token}' follows '${before}'`);
    if (type !== "space" && type !== "newline" && type !== "comment") before = token;
    const reached = depth.after(type, token);
    if (reached < 0) return refusal(`'${token}' closes nothing`);
    if (reached > MAX_MANIFEST_DEPTH) return refusal(`nested or indented deeper than ${MAX_MANIFEST_DEPTH}`);
    const lines = occurrences(token, "\n");
    line += lines;
    parts += 1 + lines + (type === "double-quoted-scalar" ? occurrences(token, "\\") : 0);
    if (parts > MAX_MANIFEST_PARTS)
      return refusal(`more than ${MAX_MANIFEST_PARTS} parts (names, values, signs, lines) up to here`);
  }
  return null;
}

/** How deep the parser may be after what it has read: open brackets, what a line begins with, and its colons. */
class Depth {
  #brackets = 0;
  #line = 0;
  #atStart = true;

  /** Below 0 after a bracket that closes nothing. */
  after(type: CST.TokenType | null, token: string): number {
    if (type === "newline") {
      this.#line = 0;
      this.#atStart = true;
    } else if (type === "flow-map-start" || type === "flow-seq-start") this.#brackets++;
    else if (type === "flow-map-end" || type === "flow-seq-end") this.#brackets--;
    else if (type === "map-value-ind" && this.#brackets === 0) this.#line++;
    if (this.#brackets < 0) return -1;
    if (this.#atStart && type !== null && LEADS.has(type)) this.#line += token.length;
    else if (type !== "newline" && type !== "doc-mode") this.#atStart = false;
    return this.#brackets + this.#line;
  }
}

const LEADS: ReadonlySet<CST.TokenType> = new Set(["space", "seq-item-ind", "explicit-key-ind"]);

function occurrences(text: string, sign: string): number {
  let count = 0;
  for (let at = text.indexOf(sign); at !== -1; at = text.indexOf(sign, at + 1)) count++;
  return count;
}

function firstLine(text: string): string {
  return (text.split("\n", 1)[0] as string).slice(0, 500).replace(/:$/, "");
}
