/**
 * What is wrong with a configuration: one record per fault, with the place in the file, the entity and the
 * field, for people (`formatConfigErrors`) and in the form of Kong's Admin API (`toFields`).
 */
import { violationFields } from "@gatehouse/sdk";
import { printable } from "../printable.ts";

export interface ConfigError {
  /** Name of the file as it was given; null for a configuration that came without one. */
  file: string | null;
  /** Both count from 1. */
  line: number;
  column: number;
  /** `service`, `route`, ...; null for a fault of the document itself. */
  entity: string | null;
  /** Name, key or id of the entity, or null where it has none. */
  name: string | null;
  /** Name of the entity's workspace. */
  workspace: string | null;
  /** Leads to the field from the entity; empty for the entity as a whole. Indexes count from 0. */
  field: string;
  /** Leads to the field from the top of the document. */
  path: readonly (string | number)[];
  /** Kong's words. */
  message: string;
  /** What to write instead: the nearest valid name, or what is allowed. */
  hint: string | null;
  /** What is there, shortened; never a secret. Null where the message says it, or there is nothing. */
  found: string | null;
}

/** Of a fault of the text itself, which is about no entity. */
export function documentError(
  file: string | null,
  { line, column, message }: { readonly line: number; readonly column: number; readonly message: string },
): ConfigError {
  const nothing = { entity: null, name: null, workspace: null, field: "", path: [], hint: null, found: null };
  return { file, line, column, ...nothing, message };
}

const MAX_SHOWN = 120;

/** One line per error: `kong.yml:12:5 service 'orders' host: required field missing`. */
export function formatConfigErrors(errors: readonly ConfigError[]): string {
  return errors.map(formatConfigError).join("\n");
}

function formatConfigError(error: ConfigError): string {
  const place = `${error.file ?? "config"}:${error.line}:${error.column}`;
  const inWorkspace =
    error.workspace !== null && error.workspace !== "default"
      ? ` of workspace '${shown(error.workspace)}'`
      : "";
  const what =
    error.entity === null ? "" : ` ${error.entity}${error.name === null ? "" : ` '${shown(error.name)}'`}`;
  const field = error.field === "" ? "" : ` ${shown(error.field)}`;
  const found = error.found === null ? "" : `, found ${error.found}`;
  const hint = error.hint === null ? "" : `; ${error.hint}`;
  return `${place}${what}${inWorkspace}${field}: ${printable(`${error.message}${found}${hint}`)}`;
}

function shown(text: string): string {
  return printable(text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text);
}

/** The errors as the nested `fields` object of Kong's error 14 (invalid declarative configuration). */
export function toFields(errors: readonly ConfigError[]): Record<string, unknown> {
  return violationFields(
    errors.map(({ path, message, hint }) => ({
      path,
      message: hint === null ? message : `${message}; ${hint}`,
    })),
  );
}

/** `["paths", 0]` → `paths[0]`. */
export function fieldName(path: readonly (string | number)[]): string {
  let out = "";
  for (const step of path) {
    if (step === "@entity") continue;
    out += typeof step === "number" ? `[${step}]` : out === "" ? step : `.${step}`;
  }
  return out;
}
