/** consumers, who a request is from, and the credentials that say so. */
import { foreign, integer, record, string } from "@gatehouse/sdk";
import { id, MAX_TEXT, tags, timestamp } from "./fields.ts";

export const consumerSchema = record(
  {
    id: id(),
    created_at: timestamp(),
    updated_at: timestamp(),
    username: string({ unique: true, lenMax: MAX_TEXT }),
    custom_id: string({ unique: true, lenMax: MAX_TEXT, description: "The id of the consumer elsewhere." }),
    tags: tags(),
  },
  { checks: [{ kind: "at_least_one_of", fields: ["custom_id", "username"] }] },
);

export const keyauthCredentialSchema = record({
  id: id(),
  created_at: timestamp(),
  consumer: foreign("consumers", { required: true, cascade: true }),
  key: string({
    required: true,
    unique: true,
    auto: true,
    lenMax: MAX_TEXT,
    description: "What the client sends. 32 random letters and digits when absent.",
  }),
  ttl: integer({ between: [0, 100_000_000], description: "Seconds after which the credential is void." }),
  tags: tags(),
});
