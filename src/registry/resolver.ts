/**
 * Which package a plugin entity means by the name that it writes. A name that moves by itself means the best version
 * that may be chosen, that asks for nothing which its workspace has not consented to, and that takes the entity's
 * config: so what is published can hold an entity where it is, and never break it.
 */
import type { ValidateOptions } from "@gatehouse/sdk";
import { channelKey, versionsOf } from "./channels.ts";
import { boundedPatterns } from "./config-schema.ts";
import { consentKey } from "./consents.ts";
import { fitted } from "./fitting.ts";
import { excessOf, excessText } from "./grants-asked.ts";
import { LATEST, type PackageName, parsePackageName } from "./package-name.ts";
import type { Release } from "./package-table.ts";
import { nameOf, type StoredPackage } from "./stored-package.ts";
import { signaturesOf, type Tables } from "./tables.ts";

/** A sentence that says why there is none. */
export interface Missing {
  readonly missing: string;
}

/** Versions told of in a message. */
const MAX_TOLD = 10;

export interface Resolved {
  readonly stored: StoredPackage;
  /** With the version's own defaults. */
  readonly config: unknown;
}

/** What a plugin entity may name. Without `fit` no name moves. */
export type Packages = Pick<Resolver, "find" | "names"> & Partial<Pick<Resolver, "fit">>;

export interface FitOptions {
  readonly compile?: ValidateOptions["compile"];
  /** Whether the workspace uses signed packages only; as it is in force if absent. */
  readonly signedOnly?: boolean | undefined;
}

export class Resolver {
  readonly #tables: Tables;
  readonly #requiresSignature: (workspace: string) => boolean;

  constructor(tables: Tables, requiresSignature: (workspace: string) => boolean = () => false) {
    this.#tables = tables;
    this.#requiresSignature = requiresSignature;
  }

  /** Whether a workspace may use a plugin of another: the operator may, and those that it is shared to. */
  mayUse(workspace: string, owner: string, name: string): boolean {
    if (owner === workspace || workspace === "default") return true;
    return this.#tables.shares.get(`${owner}/${name}`)?.workspaces.includes(workspace) === true;
  }

  /** What a plugin entity of this workspace could be named: its own packages first. */
  names(workspace: string): string[] {
    const { packages } = this.#tables;
    const others = [...packages.workspaces()].filter((owner) => owner !== workspace);
    return [
      ...packages.list(workspace).map(nameOf),
      ...others.flatMap((owner) =>
        packages
          .list(owner)
          .filter(({ manifest }) => this.mayUse(workspace, owner, manifest.name))
          .map((stored) => `${owner}/${nameOf(stored)}`),
      ),
    ];
  }

  /** What a name means in a workspace, whatever the config. */
  find(written: string, workspace: string, signedOnly?: boolean): StoredPackage | Missing {
    const found = this.#found(written, workspace, signedOnly);
    if ("missing" in found) return found;
    return found.first;
  }

  /**
   * What a name means for an entity with this config: of the versions that it may mean the best one that takes it.
   * @returns the best one of all, if none takes it: what it has against the config is to be told.
   */
  fit(
    written: string,
    workspace: string,
    config: unknown,
    { compile = boundedPatterns(), signedOnly }: FitOptions = {},
  ): Resolved | Missing {
    const found = this.#found(written, workspace, signedOnly);
    if ("missing" in found) return found;
    const { first, rest } = found;
    const line = this.#tables.packages.line(first.workspace, first.manifest.name);
    const others = line.map(({ stored }) => stored);
    const best = fitted(first, config, others, compile);
    if (best.violations.length === 0) return { stored: first, config: best.value };
    for (const stored of rest()) {
      if (stored === first) continue;
      const { value, violations } = fitted(stored, config, others, compile);
      if (violations.length === 0) return { stored, config: value };
    }
    return { stored: first, config };
  }

  #found(
    written: string,
    workspace: string,
    signedOnly = this.#requiresSignature(workspace),
  ): { readonly first: StoredPackage; readonly rest: () => Iterable<StoredPackage> } | Missing {
    const name = parsePackageName(written);
    const owner = name.owner ?? workspace;
    if (!this.mayUse(workspace, owner, name.name)) return this.#none(name, owner, workspace);
    const rest = () => {
      const candidates = this.#candidates(name, owner, workspace);
      const isSigned = (stored: StoredPackage) => signaturesOf(stored, this.#tables).length > 0;
      return signedOnly ? candidates.filter(isSigned) : candidates;
    };
    for (const first of rest()) return { first, rest };
    const [unsigned] = signedOnly ? this.#candidates(name, owner, workspace) : [];
    if (unsigned === undefined) return this.#none(name, owner, workspace);
    return {
      missing:
        `${nameOf(unsigned)} bears no signature of an author whom workspace '${owner}' knows, and workspace ` +
        `'${workspace}' uses signed packages only; sign it`,
    };
  }

  /** The best first. */
  *#candidates(name: PackageName, owner: string, workspace: string): Generator<StoredPackage, void> {
    if (name.wanted?.kind === "version") {
      const stored = this.#tables.packages.get(`${owner}/${name.name}@${name.wanted.version}`);
      if (stored !== undefined) yield stored;
      return;
    }
    const consent = this.#tables.consents.get(consentKey(workspace, owner, name.name));
    const isHeld = ({ manifest }: StoredPackage) =>
      consent !== undefined && excessOf(manifest.grants, consent.grants).length > 0;
    for (const stored of this.meant(name, owner)) if (!isHeld(stored)) yield stored;
    // Whoever uses it already keeps it when all has been yanked; nobody begins to.
    if (consent === undefined) return;
    for (const { stored } of this.#released(name, owner))
      if (stored.yanked !== null && !isHeld(stored)) yield stored;
  }

  /** The versions that a name that moves may mean, wherever it is written; the best first. */
  *meant(name: PackageName, owner: string): Generator<StoredPackage> {
    const { wanted } = name;
    if (wanted?.kind === "channel" && wanted.channel !== LATEST) {
      const channel = this.#tables.channels.get(channelKey(owner, name.name, wanted.channel));
      for (const version of channel === undefined ? [] : versionsOf(channel)) {
        const stored = this.#tables.packages.get(`${owner}/${name.name}@${version}`);
        if (stored !== undefined) yield stored;
      }
      return;
    }
    for (const { stored } of this.#released(name, owner)) if (stored.yanked === null) yield stored;
  }

  /** Versions in a range, yanked or not. */
  *#released({ name, wanted }: PackageName, owner: string): Generator<Release> {
    if (wanted === null || wanted.kind === "version") return;
    for (const release of this.#tables.packages.line(owner, name)) {
      const isMeant =
        wanted.kind === "range"
          ? wanted.includes(release.version)
          : wanted.channel === LATEST && release.version.prerelease.length === 0;
      if (isMeant) yield release;
    }
  }

  #none(name: PackageName, owner: string, workspace: string): Missing {
    const own = name.text === "" ? name.name : `${name.name}@${name.text}`;
    // Whether somebody else has such a package is nobody's business: both cases read the same.
    if (!this.mayUse(workspace, owner, name.name))
      return {
        missing: `no plugin package '${own}' in what is shared to workspace '${workspace}'; publish it first`,
      };
    if (name.wanted === null && name.text !== "")
      return {
        missing: `'${name.text}' is no version (1.2.0), range (^1.2, ~1.2, 1.x) or channel (stable) of a plugin package`,
      };
    const where =
      owner === workspace ? `workspace '${workspace}'` : `what is shared to workspace '${workspace}'`;
    const [held] = name.wanted?.kind === "version" ? [] : this.meant(name, owner);
    const consent = this.#tables.consents.get(consentKey(workspace, owner, name.name));
    if (held !== undefined && consent !== undefined) {
      const excess = excessText(excessOf(held.manifest.grants, consent.grants));
      return {
        missing:
          `'${own}' means ${nameOf(held)}, which asks for more than workspace '${workspace}' has consented to ` +
          `(${excess}); consent to it first`,
      };
    }
    const line = this.#tables.packages.line(owner, name.name);
    const told = line.slice(0, MAX_TOLD).map(({ stored }) => stored.manifest.version);
    const more = line.length > told.length ? ` and ${line.length - told.length} more` : "";
    const versions = told.length > 0 ? `; it has version ${told.join(", ")}${more}` : "";
    return { missing: `no plugin package '${own}' in ${where}${versions}; publish it first` };
  }
}
