import { isReference } from "@gatehouse/sdk";

/** What stands for a private key wherever an entity is shown. */
export const REDACTED = "REDACTED";

/** Fields of a plugin's config that are secrets by their names, whether its author has marked them or not. */
export const SECRET_NAME =
  /pass(word|phrase)|secret|token|api[_-]?key|private[_-]?key|authorization|credential|cookie/i;

/** Whether a value could be a secret: switches and numbers are none. */
export const holdsText = (value: unknown): boolean => typeof value === "string" || typeof value === "object";

/**
 * A text without the secrets that its form gives away: the value of `name:value`, as transformers write header fields, the
 * user of a URL, and values of its query, each if the name is that of a secret. A reference to a vault is none.
 */
export function textWithoutSecrets(text: string, mark: string = REDACTED): string {
  if (isReference(text)) return text;
  const name = /^([^:\s]{1,200}):(?!\/\/)/.exec(text)?.[1];
  if (name !== undefined && SECRET_NAME.test(name)) return `${name}:${mark}`;
  return text
    .replaceAll(/:\/\/[^/?#@\s]*@/g, `://${mark}@`)
    .replaceAll(/([?&]([^=&#\s]{1,200})=)[^&#\s]*/g, (all, head: string, field: string) =>
      SECRET_NAME.test(field) ? head + mark : all,
    );
}
