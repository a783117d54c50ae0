/**
 * The configuration of a data thread: a change arrives in pieces, is prepared beside live traffic, and is served when
 * the main thread says so, which it does once every thread has prepared it.
 */
import { deserialize } from "node:v8";
import type { Egress } from "../egress/egress.ts";
import type { Policies } from "../egress/policies.ts";
import { type ConfigChange, joined } from "../entities/change.ts";
import type { PluginEntity, Service, Target, Upstream } from "../entities/entities.ts";
import type { DataPlane } from "../pipeline/data-plane.ts";
import type { HostOwners } from "../pipeline/host-owners.ts";
import { inSlices } from "../pipeline/slices.ts";
import { type PluginInstance, Replaced, type Snapshot } from "../pipeline/snapshot.ts";
import type { RequestQuotas } from "../tenancy/request-quotas.ts";
import type { Deployment } from "../threads/messages.ts";
import type { InstalledPackage } from "../threads/packages.ts";
import type { Certificates } from "../tls/certificates.ts";
import type { Terminator } from "../tls/terminator.ts";
import { UpstreamKeys } from "../tls/upstream-keys.ts";
import type { Balancer } from "../upstream/balancer.ts";

interface ThreadConfigParts {
  /** What requests are served by; a commit replaces its snapshot. */
  readonly plane: DataPlane;
  /** Null if no listener speaks TLS. */
  readonly terminator: Terminator | null;
  /** What workspaces may have, while none is there. */
  readonly quotas: RequestQuotas;
  /** Where the gateway connects to; a commit replaces its policies. */
  readonly egress: Egress;
  /** `installed` is the package of a plugin that is not built in. */
  instantiate(
    plugin: PluginEntity,
    workspace: string,
    installed: InstalledPackage | undefined,
  ): PluginInstance;
  balancer(
    service: Service,
    upstream: Upstream | null,
    targets: readonly Target[],
    keys: UpstreamKeys,
    egress: Policies,
  ): Balancer;
}

interface Prepared {
  readonly snapshot: Snapshot;
  readonly certificates: Certificates | null;
  readonly keys: UpstreamKeys;
  readonly owners: HostOwners;
  readonly policies: Policies;
  readonly quotas: RequestQuotas;
}

export class ThreadConfig {
  readonly #parts: ThreadConfigParts;
  /** Certificates that services name. */
  #keys = UpstreamKeys.none;
  /** The change that is on its way, as far as it is there. */
  #arriving: { readonly version: number; readonly pieces: Uint8Array[] } = { version: 0, pieces: [] };
  #prepared: (Prepared & { readonly version: number }) | null = null;
  readonly #replaced = new Replaced();
  /** What waits for the end of all requests that go by those. */
  readonly #jobs: (() => void)[] = [];

  #quotas: RequestQuotas;

  constructor(parts: ThreadConfigParts) {
    this.#parts = parts;
    this.#quotas = parts.quotas;
  }

  /** A piece of a change: a serialized `ConfigChange`. */
  receive(version: number, piece: Uint8Array): void {
    // One that broke off on its way never mixes with the next.
    if (version !== this.#arriving.version) this.#arriving = { version, pieces: [] };
    this.#arriving.pieces.push(piece);
  }

  /**
   * Compiles what the pieces change; nothing is served by it yet.
   * @returns what is wrong with it; null if nothing.
   */
  async prepare(version: number, packages: Deployment["packages"]): Promise<string | null> {
    const { pieces } = this.#arriving;
    this.#arriving = { version, pieces: [] };
    try {
      this.#prepared = { version, ...(await inSlices(this.#next(pieces, packages))) };
      return null;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  *#next(pieces: readonly Uint8Array[], packages: Deployment["packages"]): Generator<void, Prepared> {
    const { plane, terminator, egress, instantiate, balancer } = this.#parts;
    const parts: ConfigChange[] = [];
    for (const piece of pieces) yield void parts.push(deserialize(piece) as ConfigChange);
    const change = joined(parts);
    const certificates = terminator?.certificates.next(change) ?? null;
    const keys = this.#keys.next(change);
    const policies = egress.policies.next(change);
    const snapshot = yield* plane.snapshot.next(change, {
      instantiate: (plugin, workspace) => instantiate(plugin, workspace, packages[plugin.id]),
      balancer: (service, upstream, targets) => balancer(service, upstream, targets, keys, policies),
    });
    const quotas = this.#quotas.next(change);
    return { snapshot, certificates, keys, policies, quotas, owners: plane.owners.next(change) };
  }

  /** Serves what was prepared; returns whether that version was. */
  commit(version: number): boolean {
    const prepared = this.#prepared;
    if (prepared?.version !== version) return false;
    const { plane, terminator, egress } = this.#parts;
    const old = plane.snapshot;
    plane.snapshot = prepared.snapshot;
    plane.owners = prepared.owners;
    this.#quotas = prepared.quotas;
    plane.quotas = prepared.quotas.orNull;
    this.#keys = prepared.keys;
    egress.policies = prepared.policies;
    if (terminator !== null && prepared.certificates !== null)
      terminator.certificates = prepared.certificates;
    this.#prepared = null;
    this.#replaced.add(old, plane.snapshot);
    return true;
  }

  /** Another thread cannot prepare it: the old configuration goes on. */
  discard(): void {
    this.#prepared?.snapshot.discard();
    this.#prepared = null;
  }

  /** Does something once no request goes by a snapshot that was replaced. */
  afterReplaced(job: () => void): void {
    this.#jobs.push(job);
    this.#doJobs();
  }

  /** A request that was served by that snapshot is over. Hot: once for each request. */
  release(snapshot: Snapshot): void {
    if (--snapshot.inFlight !== 0 || snapshot === this.#parts.plane.snapshot) return;
    this.#replaced.sweep();
    this.#doJobs();
  }

  #doJobs(): void {
    if (!this.#replaced.isOver) return;
    for (const job of this.#jobs.splice(0)) job();
  }
}
