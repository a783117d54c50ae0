/**
 * Passwords of a document on their way to a configuration: hashed once everything is known to be sound, because that
 * takes time by intention, and not at all where the document says that its values are transformed already.
 */
import { eachPassword } from "../entities/password-work.ts";
import { hashPassword, hashPasswordNow, isHashedPassword } from "../entities/passwords.ts";
import type { Draft, Faults } from "./draft.ts";

interface Plain {
  readonly draft: Draft;
  readonly field: string;
}

function fieldsOf({ type, value }: Draft): readonly string[] {
  return type.hashedFields?.(value).filter((field) => typeof value[field] === "string") ?? [];
}

/** Refuses what is said to be transformed and is not in any form that is kept. */
export function checkTransformed(draft: Draft, faults: Faults): void {
  for (const field of fieldsOf(draft)) {
    if (isHashedPassword(draft.value[field] as string)) continue;
    const hint = "with _transform: true it is taken as the password itself";
    faults.entity(draft, [field], "expected a hashed password, as _transform is false", hint);
    draft.sound = false;
  }
}

/** Those of drafts without a fault that are still to be hashed. */
export class Passwords {
  #left: readonly Plain[];

  constructor(drafts: readonly Draft[]) {
    this.#left = drafts.flatMap((draft) =>
      draft.kept === null ? fieldsOf(draft).map((field) => ({ draft, field })) : [],
    );
  }

  async hash(): Promise<void> {
    const left = this.#left;
    this.#left = [];
    await eachPassword(left, async ({ draft, field }) => {
      draft.value[field] = await hashPassword(draft.value[field] as string);
    });
  }

  hashNow(): void {
    for (const { draft, field } of this.#left)
      draft.value[field] = hashPasswordNow(draft.value[field] as string);
    this.#left = [];
  }
}
