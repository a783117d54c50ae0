/** The guest that is measured, in WebAssembly: reads two headers, sets one. */
// @ts-nocheck AssemblyScript, not TypeScript
import { readInput, writeOutput } from "../../../../wasm-plugins/assembly/extism";
import { member, skip, stringAt } from "../../../../wasm-plugins/assembly/json";

export function access(): i32 {
  const input = readInput();
  let agent = "none";
  let added = false;
  // [["Name","value"],["Name","value"]]
  let at = member(input, member(input, 0, "request"), "headers") + 1;
  while (at < input.length && input.charCodeAt(at) == 0x5b) {
    const name = stringAt(input, at + 1).toLowerCase();
    const value = skip(input, at + 1) + 1;
    if (name == "user-agent") agent = stringAt(input, value);
    else if (name == "x-bench-added") added = true;
    at = skip(input, at);
    if (input.charCodeAt(at) == 0x2c) at++;
  }
  const stamp = agent.length.toString() + (added ? " true" : " false");
  writeOutput('{"request":{"headers":[["set","X-Bench-Guest","' + stamp + '"]]}}');
  return 0;
}
