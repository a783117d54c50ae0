/**
 * keys, in JWK or in PEM, and the key_sets that they stand in. Fields and rules are Kong's. What is kept is what
 * OpenSSL takes; messages never quote a key.
 */
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { foreign, isObject, isReference, record, string } from "@gatehouse/sdk";
import { id, MAX_TEXT, name, tags, timestamp } from "./fields.ts";
import { REDACTED } from "./redacted.ts";

const MAX_KEY = 65_536;
/** Members of a JWK that are nobody's but the owner's (RFC 7518 section 6). */
const PRIVATE_MEMBERS = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] as const;

export const keySetSchema = record({
  id: id(),
  name: name({ description: "The name of the set." }),
  tags: tags(),
  created_at: timestamp(),
  updated_at: timestamp(),
});

export const keySchema = record(
  {
    id: id(),
    set: foreign("key_sets", { onDelete: "cascade", description: "The set that it stands in." }),
    name: name({ description: "The name of the key." }),
    kid: string({ required: true, lenMax: MAX_TEXT, description: "What tokens call the key by." }),
    jwk: string({
      lenMax: MAX_KEY,
      referenceable: true,
      check: checkJwk,
      description: "The key as the text of a JSON Web Key.",
    }),
    pem: record(
      {
        private_key: string({
          lenMax: MAX_KEY,
          referenceable: true,
          encrypted: true,
          check: (pem: string) => (readKey(createPrivateKey, pem) === null ? "invalid key" : undefined),
        }),
        public_key: string({
          lenMax: MAX_KEY,
          referenceable: true,
          check: (pem: string) => (publicOf(pem) === null ? "invalid key" : undefined),
        }),
      },
      { description: "The key as PEM texts." },
    ),
    tags: tags(),
    created_at: timestamp(),
    updated_at: timestamp(),
  },
  {
    checks: [
      { kind: "mutually_exclusive", fields: ["jwk", "pem"] },
      { kind: "at_least_one_of", fields: ["jwk", "pem"] },
      { kind: "custom", run: checkKey },
    ],
  },
);

function readJwk(text: string): Record<string, unknown> | null {
  try {
    const jwk: unknown = JSON.parse(text);
    return isObject(jwk) ? jwk : null;
  } catch {
    return null;
  }
}

function readKey<I>(read: (input: I) => KeyObject, input: I): KeyObject | null {
  try {
    return read(input);
  } catch {
    return null;
  }
}

/** OpenSSL would take a private key for its public half. */
const publicOf = (pem: string) =>
  pem.includes("PRIVATE KEY") ? null : readKey<string>(createPublicKey, pem);

function checkJwk(text: string): string | undefined {
  const jwk = readJwk(text);
  if (jwk === null) return "could not json decode jwk string";
  // As it was shown it is another key, and of some kinds even a sound one.
  if (PRIVATE_MEMBERS.some((member) => jwk[member] === REDACTED))
    return `its private members are ${REDACTED}: write them out`;
  const sound =
    jwk.kty === "oct"
      ? typeof jwk.k === "string" && /^[A-Za-z0-9_-]+$/.test(jwk.k)
      : readKey(createPublicKey, { key: jwk, format: "jwk" as const }) !== null &&
        (jwk.d === undefined || readKey(createPrivateKey, { key: jwk, format: "jwk" as const }) !== null);
  return sound ? undefined : "could not load JWK, likely not a valid key";
}

function checkKey({ jwk, pem, kid }: Record<string, unknown>): Record<string, string> | undefined {
  if (typeof jwk === "string" && !isReference(jwk) && readJwk(jwk)?.kid !== kid)
    return { "@entity": "kid in jwk.kid must be equal to keys.kid" };
  if (!isObject(pem)) return undefined;
  const { private_key: secret, public_key: open } = pem;
  if (typeof secret !== "string" && typeof open !== "string")
    return { "@entity": "need to supply a PEM formatted public and/or private key." };
  if (typeof secret !== "string" || typeof open !== "string") return undefined;
  if (isReference(secret) || isReference(open)) return undefined;
  return createPublicKey(createPrivateKey(secret)).equals(createPublicKey(open))
    ? undefined
    : { "pem.public_key": "the public key is not that of the private key" };
}

/** A JWK as it may be shown. */
export function publicJwk(text: string): string {
  const jwk = readJwk(text);
  if (jwk === null) return REDACTED;
  if (!PRIVATE_MEMBERS.some((member) => jwk[member] !== undefined)) return text;
  const shown: Record<string, unknown> = { ...jwk };
  for (const member of PRIVATE_MEMBERS) if (shown[member] !== undefined) shown[member] = REDACTED;
  return JSON.stringify(shown);
}
