/** What stands for a private key wherever an entity is shown. */
export const REDACTED = "REDACTED";

/** Fields of a plugin's config that are secrets by their names, whether its author has marked them or not. */
export const SECRET_NAME =
  /pass(word|phrase)|secret|token|api[_-]?key|private[_-]?key|authorization|credential|cookie/i;
