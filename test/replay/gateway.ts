/** What tests of recordings ask of a whole gateway. */
import assert from "node:assert/strict";
import { type Answer, send } from "../support/client.ts";
import type { Gateway } from "../support/gateway.ts";

export interface Summary {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly status: number | null;
  readonly route: { readonly name: string } | null;
}

export function admin(gateway: Gateway, method: string, path: string, body?: object): Promise<Answer> {
  return send(`${gateway.adminUrl}${path}`, {
    method,
    headers: { "content-type": "application/json", ...gateway.adminHeaders },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

export async function list(gateway: Gateway, query = "", workspace = ""): Promise<Summary[]> {
  const answer = await admin(gateway, "GET", `${workspace}/recordings${query}`);
  assert.equal(answer.status, 200, answer.body);
  return (answer.json() as { data: Summary[] }).data;
}

/**
 * What is there once it is enough: requests are kept after they were answered. Each look is a request of its own, and
 * the test's own time is the bound.
 */
export async function recorded(
  gateway: Gateway,
  isEnough: (all: readonly Summary[]) => boolean,
  query = "",
  workspace = "",
): Promise<Summary[]> {
  for (;;) {
    const all = await list(gateway, query, workspace);
    if (isEnough(all)) return all;
  }
}

export interface Whole extends Summary {
  readonly request: {
    readonly query: string;
    readonly headers: [string, string][];
    readonly body: string | null;
    readonly body_bytes: number | null;
  };
  readonly response: {
    readonly status: number;
    readonly headers: [string, string][];
    readonly body: string | null;
    readonly body_bytes: number | null;
  } | null;
  readonly consumer: { readonly username: string } | null;
}

export async function read(gateway: Gateway, { id }: { readonly id: string }): Promise<Whole> {
  const answer = await admin(gateway, "GET", `/recordings/${id}`);
  assert.equal(answer.status, 200, answer.body);
  return answer.json() as Whole;
}

export const fieldOf = (fields: readonly (readonly [string, string])[], name: string) =>
  fields.find(([own]) => own.toLowerCase() === name)?.[1];

export const text = (base64: string | null) => base64 && Buffer.from(base64, "base64").toString();
