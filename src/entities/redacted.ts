/** What stands for a private key wherever an entity is shown. */
export const REDACTED = "REDACTED";
