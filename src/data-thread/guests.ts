/** A data thread's guests: uploaded packages made into plugin instances, and the way to their cordons. */
import type { Host } from "@gatehouse/sdk";
import type { PluginEntity } from "../entities/entities.ts";
import type { PluginInstance } from "../pipeline/snapshot.ts";
import { type GuestFailure, SandboxClient } from "../sandbox/calls/client.ts";
import type { CredentialNames } from "../sandbox/calls/credential-names.ts";
import type { Witness } from "../sandbox/calls/witness.ts";
import type { LedgerRow } from "../sandbox/ledger.ts";
import { lowered } from "../sandbox/limits.ts";
import type { ToThread } from "../sandbox/protocol/messages.ts";
import type { InstalledPackage } from "../threads/packages.ts";

export class Guests {
  readonly #client: SandboxClient;
  readonly #code = new Map<string, { bytes: Uint8Array; users: number }>();
  #listener: ((message: ToThread) => void) | null = null;

  /** `post` carries messages to the supervisor; `onFailure` is told of every failure of a guest. */
  constructor(post: (message: unknown) => void, onFailure: (failure: GuestFailure) => void) {
    this.#client = new SandboxClient({
      port: {
        post,
        onMessage: (listener) => {
          this.#listener = listener;
        },
      },
      artifact: (digest) => {
        const code = this.#code.get(digest);
        if (code === undefined) throw new Error(`no code for ${digest}`);
        return code.bytes;
      },
      onFailure,
    });
  }

  listen(): Promise<void> {
    return this.#client.listen();
  }

  onMessage(message: unknown): void {
    this.#listener?.(message as ToThread);
  }

  /**
   * An instance of an uploaded plugin. Its code is kept as long as an instance uses it. `onTrial` for a version that may
   * take another's place.
   */
  instantiate(
    plugin: PluginEntity,
    workspace: string,
    { manifest, digest, code, limits }: InstalledPackage,
    host: Host,
    credentials: CredentialNames,
    onTrial = false,
  ): PluginInstance {
    const known = this.#code.get(digest) ?? { bytes: code, users: 0 };
    known.users++;
    this.#code.set(digest, known);
    const hooks = this.#client.hooks(
      {
        digest,
        runtime: manifest.runtime,
        phases: [...manifest.phases],
        instance: manifest.instance,
        pluginId: plugin.id,
        config: plugin.config,
        limits: lowered(limits, manifest.limits),
        workspace,
        name: manifest.name,
        version: manifest.version,
        onTrial,
        fail: manifest.fail,
        grants: manifest.grants,
        cpuWaitMs: limits.cpuWaitMs,
      },
      host,
      credentials,
    );
    return {
      priority: manifest.priority,
      hooks,
      dispose: () => {
        this.#client.release(hooks);
        if (--known.users === 0) this.#code.delete(digest);
      },
    };
  }

  /** Has calls watched; null for nobody. */
  watch(witness: Witness | null): void {
    this.#client.watch(witness);
  }

  ledger(): LedgerRow[] {
    return this.#client.ledger();
  }

  /** A workspace is no more. @returns how many rows of the ledger it had. */
  forgetWorkspace(workspace: string): number {
    return this.#client.forgetWorkspace(workspace);
  }

  close(): void {
    this.#client.close();
  }
}
