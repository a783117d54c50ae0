/**
 * The table of hostile isolate guests: one file each beside this one, named by the attack. `kinds` are the
 * failures that may be reported for it; an empty list means that the guest must get an answer and find
 * nothing. What every attack must leave behind is asserted in isolate.test.ts.
 */
import type { Failure } from "../../../src/sandbox/engine.ts";

export interface Attack {
  /** File name without `.js`. */
  readonly file: string;
  readonly kinds: readonly Failure[];
}

const CPU: readonly Failure[] = ["timeout", "deadline"];
/** An allocation may meet any limit first, or an ordinary RangeError. */
const MEMORY: readonly Failure[] = ["memory", "timeout", "deadline", "throw", "crashed", "violation"];

export const ATTACKS: readonly Attack[] = [
  { file: "endless-loop", kinds: CPU },
  { file: "array-fill-billion", kinds: [...CPU, "memory", "throw"] },
  { file: "sparse-sort", kinds: [...CPU, "memory", "throw"] },
  { file: "sort-comparator-loop", kinds: CPU },
  { file: "json-nesting", kinds: [...CPU, "throw", "memory"] },
  { file: "regex-backtracking", kinds: [] },
  { file: "array-push", kinds: MEMORY },
  { file: "string-doubling", kinds: MEMORY },
  { file: "split-near-maximum", kinds: MEMORY },
  { file: "many-buffers", kinds: MEMORY },
  { file: "resizable-buffer", kinds: [] },
  { file: "map-growth", kinds: MEMORY },
  { file: "generated-closures", kinds: MEMORY },
  { file: "bigint-growth", kinds: MEMORY },
  { file: "recursion", kinds: ["throw"] },
  { file: "recursion-finally", kinds: [...CPU, "throw"] },
  { file: "constructor-escape", kinds: [] },
  { file: "intrinsics-pollution", kinds: [] },
  { file: "host-objects", kinds: [] },
  { file: "dynamic-import", kinds: [] },
  { file: "structured-stack", kinds: [] },
  { file: "throw-looping-message", kinds: CPU },
  { file: "throw-proxy", kinds: ["throw"] },
  { file: "throw-huge-message", kinds: ["throw", "memory", "timeout", "deadline"] },
  { file: "throw-null", kinds: ["throw"] },
  { file: "throw-symbol", kinds: ["throw"] },
  { file: "microtask-flood", kinds: CPU },
  { file: "promise-never-settles", kinds: ["violation"] },
  { file: "thenable-loop", kinds: CPU },
  { file: "return-proxy", kinds: ["violation", "throw"] },
  { file: "return-looping-getter", kinds: CPU },
  { file: "host-call-flood", kinds: ["violation", "timeout"] },
  { file: "output-huge-body", kinds: ["violation", "memory", "throw", "timeout"] },
  { file: "output-many-headers", kinds: ["violation"] },
  { file: "output-header-newline", kinds: ["violation"] },
  { file: "output-framing-headers", kinds: ["violation"] },
  { file: "output-status", kinds: ["violation"] },
  { file: "output-path", kinds: ["violation"] },
  { file: "uuid-exhaustion", kinds: ["violation"] },
  { file: "top-level-loop", kinds: ["timeout", "load", "deadline"] },
  { file: "top-level-throw-looping", kinds: ["load", "timeout", "deadline"] },
];
