/**
 * What a workspace has consented that a plugin may do there. Whoever writes a plugin entity consents to the version
 * that it means then; a name that moves by itself moves to no version that asks for more, until somebody says so.
 */
import type { GuestGrants } from "../sandbox/calls/grants.ts";
import type { Row } from "../stores/store.ts";
import { grantsFromJson } from "./grants-asked.ts";
import { grantsToJson } from "./manifest.ts";

export const CONSENT_KIND = "consents";

export interface Consent {
  /** That uses the plugin. */
  readonly workspace: string;
  /** Id of that workspace. */
  readonly workspaceId: string;
  /** Workspace that publishes it. */
  readonly owner: string;
  /** Of the plugin. */
  readonly name: string;
  readonly grants: GuestGrants;
  /** Seconds since the epoch: when it last grew. */
  readonly at: number;
}

export const consentKey = (workspace: string, owner: string, name: string): string =>
  `${workspace}:${owner}/${name}`;

export function rowOfConsent({ workspaceId, grants, ...consent }: Consent): Row {
  const id = consentKey(consent.workspace, consent.owner, consent.name);
  const body = { ...consent, grants: grantsToJson(grants) };
  return { kind: CONSENT_KIND, id, workspace: workspaceId, body };
}

/** A row that cannot be read consents to nothing, which holds every version that asks for anything. */
export function consentOfRow({ id, workspace: workspaceId, body }: Row): Consent | null {
  const parts = /^([^:]*):([^/]*)\/(.*)$/.exec(id);
  if (parts === null) return null;
  const [, workspace = "", owner = "", name = ""] = parts;
  const at = typeof body.at === "number" ? body.at : 0;
  return { workspace, workspaceId, owner, name, grants: grantsFromJson(body.grants), at };
}
