/**
 * Bodies of writes: JSON, or a form whose names lead into it (`config.minute=5`, `paths[]=/a`, `service.id=…`) and whose
 * texts become what the schema asks for.
 */
import { type Field, isDeepJson, isObject } from "@gatehouse/sdk";
import { Refusal, unsupportedType } from "./answers.ts";
import type { Call } from "./routes.ts";

/** Longest body of a write, in bytes: Kong's own bound. */
export const MAX_ENTITY_BYTES = 10 << 20;
/** Levels of JSON, and of names of a form. */
const MAX_DEPTH = 64;
/** Values of one form. */
const MAX_VALUES = 10_000;

const JSON_TYPE = "application/json";
const FORM = "application/x-www-form-urlencoded";
const MULTIPART = "multipart/form-data";

type Input = Record<string, unknown>;

/** Refuses what cannot be read before it is. @throws {Refusal} 415 */
export function checkBodyType({ type, hasBody }: Pick<Call, "type" | "hasBody">): void {
  if (type === "" && !hasBody) return;
  if (![JSON_TYPE, FORM, MULTIPART].includes(type)) throw unsupportedType([JSON_TYPE, FORM, MULTIPART]);
}

/**
 * The fields of a body; none if there is no body.
 * @param fieldOf the schema of a field, which texts of a form are read by; it may look at the others.
 * @throws {Refusal} 400
 */
export async function readBody(
  call: Call,
  fieldOf: (name: string, input: Readonly<Input>) => Field | undefined,
): Promise<Input> {
  if (call.body.length === 0) return {};
  if (call.type === JSON_TYPE) return readJson(call.body);
  const input = nested(call.type === FORM ? readForm(call.body) : await readMultipart(call));
  for (const name of Object.keys(input)) input[name] = inferred(fieldOf(name, input), input[name]);
  return input;
}

export function readJson(body: Uint8Array): Input {
  const wrong = () => new Refusal(400, { message: "Cannot parse JSON body" });
  let value: unknown;
  try {
    const text = utf8(body);
    // Deeper than anything that is asked for: reading it would be work for nothing.
    if (isDeepJson(text, MAX_DEPTH)) throw wrong();
    value = JSON.parse(text);
  } catch {
    throw wrong();
  }
  if (!isObject(value)) throw wrong();
  return value;
}

function utf8(body: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(body);
}

const unsoundForm = () => new Refusal(400, { message: "The body is not a sound form" });

function readForm(body: Uint8Array): [name: string, value: string][] {
  let text: string;
  try {
    text = utf8(body);
    return text
      .split("&")
      .filter((pair) => pair !== "")
      .map((pair) => {
        const at = pair.indexOf("=");
        const [name, value] = at < 0 ? [pair, ""] : [pair.slice(0, at), pair.slice(at + 1)];
        const plain = (part: string) => decodeURIComponent(part.replaceAll("+", " "));
        return [plain(name), plain(value)];
      });
  } catch {
    throw unsoundForm();
  }
}

async function readMultipart({ body, contentType }: Call): Promise<[name: string, value: string][]> {
  try {
    const headers = { "content-type": contentType };
    const form = await new Response(Buffer.from(body), { headers }).formData();
    const values = [...form].map(
      async ([name, value]): Promise<[string, string]> => [
        name,
        typeof value === "string" ? value : utf8(await value.bytes()),
      ],
    );
    return await Promise.all(values);
  } catch {
    throw unsoundForm();
  }
}

/** `a.b=1`, `c[]=2`, `d[1]=3` as a tree. Its objects inherit nothing, so that any name may stand in it. */
function nested(pairs: readonly (readonly [name: string, value: string])[]): Input {
  if (pairs.length > MAX_VALUES) throw unsoundForm();
  const top: Input = Object.create(null);
  const named = pairs.map(([name, value]) => {
    const [, dotted, index] = /^([^[\]]+)(?:\[(\d{0,4})\])?$/.exec(name) ?? [];
    return { dotted, index, value };
  });
  // Elements come in the order of their numbers, those without one as they were written.
  const inOrder = named.sort((a, b) => Number(a.index ?? 0) - Number(b.index ?? 0));
  for (const { dotted, index, value } of inOrder) {
    const path = dotted?.split(".") ?? [];
    const last = path.pop();
    if (last === undefined || path.length > MAX_DEPTH || path.includes("") || last === "")
      throw unsoundForm();
    let at = top;
    for (const step of path) {
      const inside: unknown = at[step] ?? Object.create(null);
      if (!isObject(inside)) throw unsoundForm();
      at[step] = inside;
      at = inside;
    }
    const before = at[last];
    if (isObject(before)) throw unsoundForm();
    if (index !== undefined || Array.isArray(before))
      at[last] = [...(Array.isArray(before) ? before : []), value];
    else at[last] = before === undefined ? value : [before, value];
  }
  return top;
}

/** A text of a form as the schema has it. What it cannot be is left as it is, for the schema to refuse. */
function inferred(field: Field | undefined, value: unknown): unknown {
  if (value === "") return null;
  if (isObject(value)) {
    for (const name of Object.keys(value)) {
      const fields = field?.fields ?? {};
      value[name] = inferred(Object.hasOwn(fields, name) ? fields[name] : field?.values, value[name]);
    }
    return value;
  }
  if (field?.type === "array" || field?.type === "set") {
    const list = Array.isArray(value) ? value : field.type === "set" ? String(value).split(",") : [value];
    return list.map((each) => inferred(field.elements, each));
  }
  if (typeof value !== "string") return value;
  if (field?.type === "boolean") return value === "true" ? true : value === "false" ? false : value;
  if (field?.type === "integer" || field?.type === "number")
    return /^-?\d+(?:\.\d+)?(?:e[+-]?\d+)?$/i.test(value) ? Number(value) : value;
  return value;
}
