/** What the main thread runs for guests: the forge, the fence, and the supervisor of cordons. */
import type { Logger } from "pino";
import type { Forge } from "../registry/registry.ts";
import type { Settings } from "../settings.ts";

export class Sandbox {
  readonly fence: { inForce: boolean } = { inForce: false };

  static async open(_settings: Settings, _log: Logger): Promise<Sandbox> {
    return new Sandbox();
  }

  forge: Forge = async () => ({ ok: false, busy: true });

  connect(_post: (message: unknown) => void): { onMessage(message: unknown): void; close(): void } {
    return { onMessage() {}, close() {} };
  }

  cordons(): readonly object[] {
    return [];
  }

  async close(): Promise<void> {}
}
