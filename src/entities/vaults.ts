/**
 * vaults: names for places that secrets are in, so that a value can be written as `{vault://prefix/NAME}`. They are
 * the operator's: what they reach is the gateway's own. Fields and rules are Kong's.
 */
import { any, type Field, record, string } from "@gatehouse/sdk";
import { id, MAX_TEXT, tags, timestamp } from "./fields.ts";

const namePrefix = (description: string) =>
  string({ lenMax: 256, match: "^[A-Za-z_-][A-Za-z0-9_-]*$", description });

/** The config of each kind of vault. */
export const VAULT_SCHEMAS = {
  env: record({
    prefix: namePrefix("Put before the names of environment variables, in upper case."),
  }),
  file: record({
    prefix: namePrefix("Put before the names of files of `secrets_dir`."),
  }),
} as const satisfies Readonly<Record<string, Field>>;

export const VAULT_NAMES = Object.keys(VAULT_SCHEMAS) as (keyof typeof VAULT_SCHEMAS)[];

const MATCH = "^[a-z][a-z\\d-]*[a-z\\d]+$";

export const vaultSchema = record(
  {
    id: id(),
    prefix: string({
      required: true,
      unique: true,
      uniqueAcrossWs: true,
      lenMax: 256,
      match: MATCH,
      notOneOf: VAULT_NAMES,
      description: "What references call it: `{vault://prefix/NAME}`.",
    }),
    name: string({ required: true, lenMax: MAX_TEXT, description: "What kind of vault it is." }),
    description: string({ lenMax: MAX_TEXT }),
    config: any({ description: "Checked by the schema of its kind." }),
    created_at: timestamp(),
    updated_at: timestamp(),
    tags: tags(),
  },
  {
    checks: [
      {
        kind: "subschema",
        key: "name",
        field: "config",
        schemas: VAULT_SCHEMAS,
        unknown: (name) => `vault '${name}' is not installed`,
      },
    ],
  },
);
