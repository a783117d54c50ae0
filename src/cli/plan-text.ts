/** A planned change for people: a line for each entity, and one for each field that an update changes. */
import { isObject } from "@gatehouse/sdk";
import { printable } from "../printable.ts";

const SIGNS: Readonly<Record<string, string>> = { create: "+", update: "~", delete: "-" };
const MAX_VALUE = 100;

export interface ShownPlan {
  readonly summary: { readonly create: number; readonly update: number; readonly delete: number };
  readonly changes: readonly Readonly<Record<string, unknown>>[];
}

/** Whoever answers may be anybody: what is printed must be there. */
export function isPlan(answer: unknown): answer is ShownPlan {
  if (!isObject(answer) || !isObject(answer.summary) || !Array.isArray(answer.changes)) return false;
  const { summary } = answer;
  return (
    ["create", "update", "delete"].every((name) => typeof summary[name] === "number") &&
    answer.changes.every(isObject)
  );
}

export function planLines({ changes, summary }: ShownPlan): string[] {
  return [...changes.flatMap(changeLines), summaryLine(summary)];
}

function changeLines(change: Readonly<Record<string, unknown>>): string[] {
  const { action, entity, name, of, workspace, cascades, fields } = change;
  const where = workspace === "default" || entity === "workspace" ? "" : ` in workspace '${text(workspace)}'`;
  const owner = typeof of === "string" ? ` of ${text(of)}` : "";
  const why = cascades === true ? " (goes with it)" : "";
  const head = `${SIGNS[String(action)] ?? "?"} ${text(entity)} '${text(name)}'${owner}${where}${why}`;
  const lines = Array.isArray(fields) ? fields.filter(isObject) : [];
  return [
    head,
    ...lines.map(({ field, before, after }) => `    ${text(field)}: ${value(before)} -> ${value(after)}`),
  ];
}

function summaryLine({ create, update, delete: gone }: ShownPlan["summary"]): string {
  if (create + update + gone === 0) return "nothing differs";
  return `${create} to create, ${update} to update, ${gone} to delete`;
}

const text = (of: unknown) => printable(String(of ?? ""));

function value(of: unknown): string {
  if (of === null || of === undefined) return "(not set)";
  if (of === "***") return "(secret)";
  const shown = text(JSON.stringify(of));
  return shown.length > MAX_VALUE ? `${shown.slice(0, MAX_VALUE)}…` : shown;
}
