/**
 * The part of the WebAssembly JavaScript API that the sandbox uses (https://webassembly.github.io/spec/js-api/).
 * TypeScript declares it only together with the browser's whole DOM.
 */
declare namespace WebAssembly {
  type Kind = "function" | "table" | "memory" | "global" | "tag";

  class CompileError extends Error {}
  class LinkError extends Error {}
  class RuntimeError extends Error {}

  /** A stack with frames of JavaScript on it, or one that is not `promising`, cannot be suspended. */
  class SuspendError extends Error {}

  /** An import that suspends the guest's stack while the promise that it returned is pending. */
  class Suspending {
    constructor(fn: (...args: never[]) => unknown);
  }

  /** An export that returns a promise, because what it calls may suspend its stack. */
  function promising(fn: unknown): (...args: unknown[]) => Promise<unknown>;

  class Module {
    constructor(bytes: Uint8Array);
    static imports(module: Module): { module: string; name: string; kind: Kind }[];
    static exports(module: Module): { name: string; kind: Kind }[];
  }

  class Instance {
    constructor(module: Module, imports?: Record<string, Record<string, unknown>>);
    readonly exports: Record<string, unknown>;
  }

  class Memory {
    constructor(limits: { initial: number; maximum?: number });
    readonly buffer: ArrayBuffer;
    grow(pages: number): number;
  }

  class Global<T = unknown> {
    constructor(type: { value: string; mutable?: boolean }, value: T);
    value: T;
  }

  function validate(bytes: Uint8Array): boolean;
}
