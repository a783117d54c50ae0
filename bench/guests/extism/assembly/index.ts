/** The guest that is measured, in WebAssembly: reads two headers, sets one. */
// @ts-nocheck AssemblyScript, not TypeScript
import { readInput, writeOutput } from "../../../../sdk/assemblyscript/extism";
import { isString, member, skip, stringAt } from "../../../../sdk/assemblyscript/json";

export function access(): i32 {
  const input = readInput();
  let agent = "none";
  let added = false;
  // [["Name","value"],["Name","value"]]
  let at = member(input, member(input, 0, "request"), "headers") + 1;
  while (at < input.length && input.charCodeAt(at) == 0x5b) {
    const name = at + 1;
    const value = skip(input, name) + 1;
    if (isString(input, name, "user-agent", true)) agent = stringAt(input, value);
    else if (isString(input, name, "x-bench-added", true)) added = true;
    at = skip(input, value) + 1;
    if (input.charCodeAt(at) == 0x2c) at++;
  }
  const stamp = agent.length.toString() + (added ? " true" : " false");
  writeOutput('{"request":{"headers":[["set","X-Bench-Guest","' + stamp + '"]]}}');
  return 0;
}
