/**
 * The part of the WebAssembly JavaScript API that the sandbox uses (https://webassembly.github.io/spec/js-api/).
 * TypeScript declares it only together with the browser's whole DOM.
 */
declare namespace WebAssembly {
  type Kind = "function" | "table" | "memory" | "global" | "tag";

  class CompileError extends Error {}
  class LinkError extends Error {}
  class RuntimeError extends Error {}

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
