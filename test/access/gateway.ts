/** Whole gateways that keep tenants apart, and clients of their Admin API with tokens of their own. */
import assert from "node:assert/strict";
import { type Answer, send } from "../support/client.ts";
import type { Gateway } from "../support/gateway.ts";

export interface Asked {
  readonly status: number;
  readonly answer: Answer;
  // Tests look into bodies freely; what they find is asserted.
  readonly json: { readonly [field: string]: unknown } & {
    readonly id: string;
    readonly message?: string;
    readonly token: string;
    readonly data: readonly Readonly<Record<string, unknown>>[];
  };
}

/** Asks by a token, or by none. Bodies are sent as JSON. */
export async function ask(
  gateway: Gateway,
  token: string | null,
  method: string,
  path: string,
  body?: object,
  headers: Readonly<Record<string, string>> = {},
): Promise<Asked> {
  const answer = await send(`${gateway.adminUrl}${path}`, {
    method,
    headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const isJson = answer.header("content-type")?.startsWith("application/json") === true && answer.body !== "";
  return { status: answer.status, answer, json: isJson ? JSON.parse(answer.body) : {} };
}

/** The operator's own token. */
export const operatorOf = ({ adminHeaders }: Gateway): string => String(adminHeaders["kong-admin-token"]);

/** Makes a token and returns what its bearer sends. */
export async function tokenFor(
  gateway: Gateway,
  role: string,
  workspace: string,
  more: object = {},
): Promise<string> {
  const made = await ask(gateway, operatorOf(gateway), "POST", "/admin-tokens", {
    name: `${role} of ${workspace}`,
    role,
    workspace,
    ...more,
  });
  assert.equal(made.status, 201, made.answer.body);
  return made.json.token;
}

/** Two tenants beside the operator, each with a service. */
export async function addTenants(gateway: Gateway): Promise<void> {
  const operator = operatorOf(gateway);
  for (const name of ["acme", "globex"]) {
    const made = await ask(gateway, operator, "PUT", `/workspaces/${name}`, { hosts: [`${name}.example`] });
    assert.equal(made.status, 200, made.answer.body);
    const service = { name: `${name}-service`, host: "upstream.example" };
    assert.equal((await ask(gateway, operator, "POST", `/${name}/services`, service)).status, 201);
  }
}
