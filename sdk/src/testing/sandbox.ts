/**
 * The way from a test to the gateway's own sandbox. `gatehouse plugin test` names the module that opens it; the SDK knows
 * its shape alone.
 */
import type { Context, Hooks, Host, Phase } from "../plugin.ts";

/** What one call of a hook has cost. Natively only the time is known. */
export interface CallCost {
  readonly phase: Phase;
  readonly wallMs: number;
  /** CPU time of the guest; null natively. */
  readonly cpuMs: number | null;
  /** Units of fuel of a guest in WebAssembly, the same on every machine; null of others. */
  readonly fuel: number | null;
  /** Memory of the guest after the call; null natively. */
  readonly memoryBytes: number | null;
  readonly hostCalls: number | null;
}

export interface SandboxedPlugin {
  readonly name: string;
  readonly hooks: Hooks;
  /** What the calls for one request have cost. */
  costs(ctx: Context): readonly CallCost[];
  close(): void;
}

/** What the module exports by the name `openInSandbox`. */
export type OpenInSandbox = (
  /** Holds plugin.yaml, and what becomes the artifact. */
  directory: string,
  /** As a plugin entity would have it; null for the defaults. */
  config: unknown,
  host: Host,
) => Promise<SandboxedPlugin>;

/** Set by `gatehouse plugin test`. */
const DOOR = "GATEHOUSE_TEST_DOOR";
const DIRECTORY = "GATEHOUSE_TEST_DIRECTORY";
const RUNTIME = "GATEHOUSE_TEST_RUNTIME";

interface Environment {
  readonly process?: {
    readonly env: Readonly<Record<string, string | undefined>>;
    cwd(): string;
  };
}

const { process } = globalThis as Environment;

/** Where plugins that are given as definitions run. */
export function wantedRuntime(): "native" | "sandbox" {
  return process?.env[RUNTIME] === "sandbox" ? "sandbox" : "native";
}

/** The directory of the plugin that is tested. */
export function pluginDirectory(): string {
  return process?.env[DIRECTORY] ?? process?.cwd() ?? ".";
}

/** @throws {Error} that says how to run the test. */
export async function sandboxDoor(): Promise<OpenInSandbox> {
  const door = process?.env[DOOR];
  if (door === undefined)
    throw new Error("the sandbox is the gateway's: run this test by 'gatehouse plugin test'");
  const { openInSandbox } = (await import(door)) as { openInSandbox: OpenInSandbox };
  return openInSandbox;
}
