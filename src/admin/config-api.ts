/**
 * `/config`: the whole configuration, read and replaced at once. A replacement is answered when every data
 * thread serves it; one with a fault changes nothing and names every fault.
 */
import { Readable } from "node:stream";
import { setImmediate as rest } from "node:timers/promises";
import { formatConfigErrors, toFields } from "../declarative/errors.ts";
import { flattenedErrors } from "../declarative/flattened-errors.ts";
import { textOf } from "../declarative/text.ts";
import { ENTITIES, ENTITY_NAMES, type GatewayConfig } from "../entities/entities.ts";
import type { EntityIndex } from "../entities/entity-index.ts";
import type { Entity } from "../entities/relations.ts";
import { numbered, Refusal, unsupportedType } from "./answers.ts";
import type { DocumentTurns } from "./document-turns.ts";
import { publicEntity } from "./entity-view.ts";
import { type ExportOptions, exportPieces } from "./export.ts";
import type { AdminPort } from "./port.ts";
import type { Answer, Call, Route } from "./routes.ts";

/** Longest configuration, in bytes. */
export const MAX_CONFIG_BYTES = 64 << 20;

const YAML_TYPES = ["text/yaml", "text/x-yaml", "application/yaml", "application/x-yaml"];
const FORM_TYPES = ["multipart/form-data", "application/x-www-form-urlencoded"];
const JSON_TYPE = "application/json";

export function configRoutes(port: AdminPort, turns: DocumentTurns): Route[] {
  return [
    {
      path: "/config",
      maxBodyBytes: MAX_CONFIG_BYTES,
      before(call, method) {
        if (port.store() !== null) throw new Refusal(400, { message: NEEDS_NO_DATABASE });
        if (method !== "POST") return;
        checkDocumentType(call);
      },
      GET: () => documentAnswer(port.entities()),
      POST: async (call) => {
        const text = await documentOf(call);
        return turns.take(call, () => replace(port, text, call));
      },
    },
  ];
}

/** Refuses what cannot hold a document before it is read. @throws {Refusal} 415 */
export function checkDocumentType({ type }: Pick<Call, "type">): void {
  const types = [JSON_TYPE, ...YAML_TYPES, ...FORM_TYPES];
  if (!types.includes(type)) throw unsupportedType([JSON_TYPE, "application/yaml"]);
}

const isOn = (written: unknown) => written === "1" || written === "true";

const NEEDS_NO_DATABASE = "this endpoint is only available when Kong is configured to not use a database";

async function replace(port: AdminPort, text: string, { query, author }: Call): Promise<Answer> {
  const ifChanged = isOn(query.check_hash);
  const applied = await port.replace(text, { ifChanged }, author);
  if (!applied.ok) {
    const message = `declarative config is invalid: ${formatConfigErrors(applied.errors)}`;
    const flat = isOn(query.flatten_errors) ? { flattened_errors: flattenedErrors(applied.errors) } : {};
    throw numbered("invalidConfig", message, { fields: toFields(applied.errors), ...flat });
  }
  return applied.changed || !ifChanged
    ? { status: 201, body: Readable.from(entitiesById(port.config()), { objectMode: false }) }
    : { status: 304 };
}

/** Entities that are written at once: a few milliseconds' work. */
const SLICE_ENTITIES = 500;

/**
 * `{ services: { <id>: {...} } }`, as Kong answers. Of a large configuration the answer is as much work as reading it,
 * and what is in force is in force already: it is written piece by piece, between whatever else there is to do.
 */
async function* entitiesById(config: GatewayConfig): AsyncGenerator<string> {
  let text = "{";
  let written = 0;
  let first = true;
  for (const name of ENTITY_NAMES) {
    const entities = config[name] as unknown as Entity[];
    if (entities.length === 0) continue;
    text += `${first ? "" : ","}"${name}":{`;
    first = false;
    for (const [i, entity] of entities.entries()) {
      text += `${i === 0 ? "" : ","}${JSON.stringify(entity.id)}:${JSON.stringify(publicEntity(ENTITIES[name], entity))}`;
      if (++written % SLICE_ENTITIES > 0) continue;
      yield text;
      text = "";
      await rest();
    }
    text += "}";
  }
  yield `${text}}`;
}

/** An answer with the document that says what is in force, made while it is sent. @throws {WriteRefused} */
export function documentAnswer(index: EntityIndex, options: ExportOptions = {}, beside: object = {}): Answer {
  const pieces = exportPieces(index, options);
  const told = Object.entries(beside).map(
    ([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)},`,
  );
  async function* text(): AsyncGenerator<string> {
    yield `{${told.join("")}"config":"`;
    for (const piece of pieces) {
      // A part of a text of JSON is a text without its quotes.
      yield JSON.stringify(piece).slice(1, -1);
      await rest();
    }
    yield '"}';
  }
  return { status: 200, body: Readable.from(text(), { objectMode: false }) };
}

/** The document in a body: the body itself, or the `config` field of JSON or of a form. */
export async function documentOf({ type, contentType, body }: Call): Promise<string> {
  if (FORM_TYPES.includes(type)) return formField(body, contentType);
  const text = utf8(body);
  // Reading a large document twice is dear; the `config` of a plugin is no string.
  if (type !== JSON_TYPE || !/"config"\s*:\s*"/.test(text)) return text;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // The declarative reader says where the mistake is.
    return text;
  }
  const wrapped =
    typeof value === "object" && value !== null ? (value as { config?: unknown }).config : undefined;
  return typeof wrapped === "string" ? wrapped : text;
}

function utf8(body: Uint8Array): string {
  const read = textOf(body);
  if (read.ok) return read.text;
  const { line, column, message } = read.fault;
  throw new Refusal(400, { message: `The body is not UTF-8: line ${line}, column ${column}: ${message}` });
}

async function formField(body: Uint8Array, contentType: string): Promise<string> {
  let field: unknown;
  try {
    const form = await new Response(Buffer.from(body), {
      headers: { "content-type": contentType },
    }).formData();
    field = form.get("config");
  } catch {
    throw new Refusal(400, { message: "The body is not a sound form" });
  }
  if (typeof field === "string") return field;
  if (field instanceof Blob) return utf8(await field.bytes());
  throw new Refusal(400, { message: "The form has no field 'config'" });
}
