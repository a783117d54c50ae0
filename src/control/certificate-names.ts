/**
 * The names of a certificate, which clients may write with it as `snis`: a list of names in place of entities of their
 * own. Names that are left out are removed, new ones are added.
 */
import { randomUUID } from "node:crypto";
import type { Violation } from "@gatehouse/sdk";
import { ENTITIES } from "../entities/entities.ts";
import type { EntityEdits, EntityIndex } from "../entities/entity-index.ts";
import { type InspectionContext, inspect } from "../entities/inspect.ts";
import { type Entity, referenceOf, relationFaults } from "../entities/relations.ts";
import type { Input } from "./input.ts";
import { schemaViolation } from "./refusal.ts";

/** Most names of one certificate. */
const MAX_NAMES = 1000;

/** Parts the names from the certificate's own fields; null where there are none, so that they stay as they are. */
export function takeNames(
  given: Input,
  wrong: Violation[],
): { readonly names: readonly string[] | null; readonly own: Input } {
  if (!Object.hasOwn(given, "snis")) return { names: null, own: given };
  const { snis, ...own } = given;
  const path = ["snis"];
  const names = snis === null || snis === undefined ? [] : snis;
  if (!Array.isArray(names)) wrong.push({ path, message: "expected a set" });
  else if (names.length > MAX_NAMES) wrong.push({ path, message: `length must be at most ${MAX_NAMES}` });
  else {
    const seen = new Set<unknown>();
    for (const [i, name] of names.entries()) {
      if (typeof name !== "string") wrong.push({ path: [...path, i], message: "expected a string" });
      else if (seen.has(name.toLowerCase())) wrong.push({ path, message: `${name} is duplicated` });
      else seen.add(name.toLowerCase());
    }
  }
  return wrong.length > 0 ? { names: null, own } : { names: names as string[], own };
}

/** What makes a certificate's names these. @throws {WriteRefused} */
export function namesOf(
  certificate: Entity,
  names: readonly string[],
  index: EntityIndex,
  context: InspectionContext,
  now: number,
): EntityEdits {
  const type = ENTITIES.snis;
  const workspace = index.workspace(certificate.ws_id)?.name ?? "";
  const current = index.children("snis", "certificate", certificate.id);
  const wrong: Violation[] = [];
  const put = names.flatMap((name, i) => {
    if (current.some((sni) => sni.name === name)) return [];
    const { value, findings } = inspect(
      type,
      { name, certificate: { id: certificate.id } },
      workspace,
      context,
    );
    const time = Math.floor(now / 1000);
    const entity: Entity = {
      ...value,
      id: randomUUID(),
      created_at: time,
      updated_at: time,
      ws_id: certificate.ws_id,
    };
    const faults = findings.length > 0 ? findings : [...relationFaults(type, entity, index, null)];
    for (const { message } of faults) wrong.push({ path: ["snis", i], message });
    // Whether a name is another workspace's is told only to those who may have it.
    if (faults.length > 0) return [];
    const holder = index.holder(type, "name", certificate.ws_id, name.toLowerCase());
    const owner = holder && referenceOf(holder, "certificate");
    if (owner && owner !== certificate.id) {
      const whose = holder.ws_id === certificate.ws_id ? `existing certificate '${owner}'` : "a certificate";
      wrong.push({ path: ["snis"], message: `${name} already associated with ${whose}` });
      return [];
    }
    return [{ kind: "snis" as const, entity }];
  });
  if (wrong.length > 0) throw schemaViolation(wrong);
  const removed = current
    .filter(({ name }) => !names.includes(name as string))
    .map(({ id }) => ({ kind: "snis" as const, id }));
  return { put, removed };
}
