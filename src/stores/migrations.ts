/**
 * Steps from one shape of a database to the next, numbered from 1, the same idea for SQLite and PostgreSQL. Each step
 * is one transaction, and `schema_migrations` in the database tells which were done, and by what text: a step that has
 * changed since is found out instead of being believed.
 */
import { createHash } from "node:crypto";
import { StoreUnavailable } from "./store.ts";

export interface Step {
  readonly number: number;
  readonly name: string;
  readonly up: readonly string[];
  /** Undoes `up`, with what it held. */
  readonly down: readonly string[];
}

/** A step as the database knows it. */
export interface AppliedStep {
  readonly number: number;
  readonly name: string;
  readonly checksum: string;
  /** Milliseconds since the epoch. */
  readonly appliedAt: number;
}

export interface MigrationStatus {
  readonly applied: readonly AppliedStep[];
  /** What `up` would do. */
  readonly pending: readonly Step[];
}

/** The database is of another shape than this program can use. The message says what to do. */
export class MigrationError extends StoreUnavailable {
  override name = "MigrationError";
}

export function checksum({ up }: Step): string {
  return createHash("sha256").update(up.join(";\n")).digest("hex");
}

/**
 * Compares what the database knows with what this program does.
 * @param place of the database, for messages.
 * @throws {MigrationError} the database is newer, or a step was another one.
 */
export function compare(
  steps: readonly Step[],
  applied: readonly AppliedStep[],
  place: string,
): MigrationStatus {
  applied.forEach((one, i) => {
    const step = steps[i];
    if (step === undefined)
      throw new MigrationError(
        `${place} was made by a newer version of gatehouse (it has step ${one.number}, ${one.name}; this one knows ` +
          `${steps.length}): start that version, or undo its steps with its 'gatehouse migrations down'`,
      );
    if (one.number !== step.number || one.checksum !== checksum(step))
      throw new MigrationError(
        `${place} has a step ${one.number} (${one.name}) that is not this version's step ${step.number} ` +
          `(${step.name}): it was made by another build; restore a backup, or export and import the configuration`,
      );
  });
  return { applied, pending: steps.slice(applied.length) };
}
