/**
 * Loads a configuration in Kong's declarative format 3.0, YAML or JSON, and says everything that is wrong with
 * it at once. Nothing is loaded from a configuration with a fault in it.
 *
 * read (text → values) → gather (values → entities) → validate each → resolve among them → seal (ids, hash).
 */
import type { GatewayConfig } from "../entities/entities.ts";
import { hasReferences, type Vaults } from "../secrets/vaults.ts";
import { type DocumentFault, readDocument } from "./document.ts";
import { type Draft, Faults } from "./draft.ts";
import { noConfig } from "./empty-config.ts";
import { type ConfigError, documentError } from "./errors.ts";
import { Passwords } from "./hashed-fields.ts";
import { Loader, type Rules } from "./loader.ts";
import { Previous } from "./previous.ts";
import { seal } from "./seal.ts";

export { type ConfigError, formatConfigErrors, toFields } from "./errors.ts";

export interface LoadOptions extends Rules {
  /** Name of the file, for messages. */
  readonly file?: string;
  /** Entities that say the same as in this configuration are taken over from it, times and made-up fields included. */
  readonly previous?: GatewayConfig;
  /** Faults that are told; default: 1000. */
  readonly maxTold?: number;
  /** Milliseconds since the epoch that `created_at` and `updated_at` get. Default: now. */
  readonly now?: number;
}

export interface Refused {
  readonly ok: false;
  readonly errors: readonly ConfigError[];
}

export type Loaded = { readonly ok: true; readonly config: GatewayConfig } | Refused;

/** A document without a fault, on its way to a configuration. */
export interface Judged {
  readonly ok: true;
  /** Its entities, each with its id and whole value, except for what is made up for it: times and random keys. */
  readonly drafts: readonly Draft[];
  /** Whether passwords are in the form in which they are kept. */
  readonly isTransformed: boolean;
  /** What is wrong with its references to vaults: those that lead nowhere. */
  unresolvedReferences(vaults: Pick<Vaults, "resolve">): Promise<Faults>;
  /** Hashes its passwords, which takes some 30 ms for each that is new; the caller is not held up. */
  hashPasswords(): Promise<void>;
  /** The configuration. Passwords that are not hashed yet are hashed now. */
  seal(): GatewayConfig;
}

/** Loads a configuration from its text. Never throws for what the text says. */
export function loadDeclarative(text: string, options: LoadOptions): Loaded {
  const judged = judgeDeclarative(text, options);
  return judged.ok ? { ok: true, config: judged.seal() } : judged;
}

/** The same without the configuration, for who only wants to know what is wrong. */
export function judgeDeclarative(text: string, options: LoadOptions): Judged | Refused {
  const document = readDocument(text);
  if (!document.ok) return unreadable(document.faults, options);
  const judged = judgeDocument(document.value, options);
  if (judged.ok) return judged;
  const { faults } = judged;
  return { ok: false, errors: faults.placed(faults.asked().map(document.locate)) };
}

/** What is wrong with a text that cannot be read at all. */
export function unreadable(
  faults: readonly DocumentFault[],
  { file = null }: { readonly file?: string | null },
): Refused {
  return { ok: false, errors: faults.map((fault) => documentError(file, fault)) };
}

/** A document that was judged by its values: what is wrong with them has no places yet. */
export type JudgedValues = Judged | { readonly ok: false; readonly faults: Faults };

/** The values of a document. */
export function judgeDocument(value: unknown, options: LoadOptions): JudgedValues {
  const steps = judgeInSteps(value, options);
  for (;;) {
    const { done, value: judged } = steps.next();
    if (done) return judged;
  }
}

/** The same in steps, for who has other things to do in between. What it is judged by must not change meanwhile. */
export function* judgeInSteps(value: unknown, options: LoadOptions): Generator<undefined, JudgedValues> {
  const faults = new Faults(options.file ?? null, options.maxTold);
  const previous = new Previous(options.previous ?? noConfig());
  const { drafts, staying, isTransformed } = yield* new Loader(options, faults, previous).load(value);
  if (!faults.isEmpty) return { ok: false, faults };
  const passwords = new Passwords(isTransformed ? [] : drafts);
  return {
    ok: true,
    drafts,
    isTransformed,
    async unresolvedReferences(vaults) {
      const { plugins, routerFlavor: flavor = "traditional_compatible" } = options;
      const context = { plugins, flavor, patterns: new Map() };
      const named = [...drafts, ...staying].filter(({ type }) => type.name === "vaults");
      const byPrefix = new Map(named.map(({ value }) => [value.prefix, value]));
      const find = (prefix: string) => byPrefix.get(prefix);
      for (const draft of drafts) {
        const entity = { ...draft.value, ws_id: draft.scope.id };
        if (!hasReferences(draft.type.name, entity)) continue;
        const resolved = await vaults.resolve(draft.type.name, entity, find, context);
        for (const { path, message } of resolved.faults) faults.entity(draft, path, message);
      }
      return faults;
    },
    hashPasswords: () => passwords.hash(),
    seal() {
      passwords.hashNow();
      return seal(drafts, options.now ?? Date.now(), previous);
    },
  };
}
