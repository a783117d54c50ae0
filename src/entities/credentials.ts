/**
 * Credentials: what says that a request is from a consumer, by the plugin that reads them, and acls, the groups that a
 * consumer is let in by. Fields and defaults are Kong's; what is random is made up when it is absent.
 */
import { createPublicKey } from "node:crypto";
import { array, boolean, foreign, integer, record, string } from "@gatehouse/sdk";
import { id, MAX_TEXT, tags, timestamp } from "./fields.ts";

const consumer = () =>
  foreign("consumers", { required: true, onDelete: "cascade", description: "Whose it is." });
const text = (description: string) => ({ lenMax: MAX_TEXT, description }) as const;
const RANDOM = "32 random letters and digits when absent.";

export const aclSchema = record({
  id: id(),
  created_at: timestamp(),
  consumer: consumer(),
  group: string({ ...text("A group that the consumer is in."), required: true }),
  tags: tags(),
});

export const basicauthCredentialSchema = record({
  id: id(),
  created_at: timestamp(),
  consumer: consumer(),
  username: string({ ...text("The name that the client sends."), required: true, unique: true }),
  password: string({
    ...text("What the client sends. Kept as a salted hash, and shown as that."),
    required: true,
    encrypted: true,
  }),
  tags: tags(),
});

export const hmacauthCredentialSchema = record({
  id: id(),
  created_at: timestamp(),
  consumer: consumer(),
  username: string({ ...text("The name that the client signs with."), required: true, unique: true }),
  secret: string({ ...text(`What the client signs with. ${RANDOM}`), auto: true, encrypted: true }),
  tags: tags(),
});

const ASYMMETRIC = [
  ...["RS256", "RS384", "RS512", "ES256", "ES384", "ES512"],
  ...["PS256", "PS384", "PS512", "EdDSA"],
] as const;
const ALGORITHMS = ["HS256", "HS384", "HS512", ...ASYMMETRIC] as const;

export const jwtSecretSchema = record(
  {
    id: id(),
    created_at: timestamp(),
    consumer: consumer(),
    key: string({ ...text(`The value of the token's key claim. ${RANDOM}`), unique: true, auto: true }),
    secret: string({ ...text(`Signs tokens of the HS algorithms. ${RANDOM}`), auto: true, encrypted: true }),
    rsa_public_key: string({
      lenMax: 65_536,
      check: checkPublicKey,
      description: "PEM. Verifies tokens of the other algorithms.",
    }),
    algorithm: string({ default: "HS256", oneOf: ALGORITHMS, description: "How tokens are signed." }),
    tags: tags(),
  },
  {
    checks: ASYMMETRIC.map((algorithm) => ({
      kind: "conditional",
      ifField: "algorithm",
      ifMatch: { oneOf: [algorithm] },
      thenField: "rsa_public_key",
      thenMatch: { required: true },
    })),
  },
);

export const keyauthCredentialSchema = record({
  id: id(),
  created_at: timestamp(),
  consumer: consumer(),
  key: string({ ...text(`What the client sends. ${RANDOM}`), unique: true, auto: true }),
  tags: tags(),
  ttl: integer({ between: [0, 100_000_000], description: "Seconds after which the credential is void." }),
});

export const oauth2CredentialSchema = record({
  id: id(),
  created_at: timestamp(),
  consumer: consumer(),
  name: string({ ...text("What the application is called."), required: true }),
  client_id: string({ ...text(`Names the application. ${RANDOM}`), unique: true, auto: true }),
  client_secret: string({ ...text(`Proves the application. ${RANDOM}`), auto: true, encrypted: true }),
  hash_secret: boolean({
    required: true,
    default: false,
    description: "Whether `client_secret` is kept as a salted hash, and shown as that.",
  }),
  redirect_uris: array(string({ lenMax: MAX_TEXT, check: checkRedirect }), {
    description: "Where users may be sent back to.",
  }),
  tags: tags(),
  client_type: string({
    required: true,
    default: "confidential",
    oneOf: ["confidential", "public"],
    description: "Whether the application can keep a secret.",
  }),
});

/** A private key in this place would be shown to everybody who may read the entity. */
function checkPublicKey(pem: string): string | undefined {
  if (pem.includes("PRIVATE KEY")) return "invalid key: expected a public key";
  try {
    createPublicKey(pem);
    return undefined;
  } catch {
    return "invalid key";
  }
}

function checkRedirect(uri: string): string | undefined {
  const parsed = URL.canParse(uri) ? new URL(uri) : null;
  if (parsed === null || parsed.host === "") return `cannot parse '${uri}'`;
  return uri.includes("#") ? `fragment not allowed in '${uri}'` : undefined;
}
