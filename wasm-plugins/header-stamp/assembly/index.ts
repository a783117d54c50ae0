/**
 * header-stamp: marks every request and its response with a header.
 * The smallest useful guest: it reads its config, and edits headers in two phases.
 */
// @ts-nocheck AssemblyScript, not TypeScript
import { config, readInput, writeError, writeOutput } from "../../assembly/extism";
import { member, quote, stringAt } from "../../assembly/json";

export function access(): i32 {
  const name = config("request_header");
  const value = config("value");
  if (name === null || value === null) {
    writeError("config needs request_header and value");
    return 1;
  }
  writeOutput('{"request":{"headers":[["set",' + quote(name) + "," + quote(value) + "]]}}");
  return 0;
}

export function header_filter(): i32 {
  const name = config("response_header");
  if (name === null) return 0;
  // The request's id lets a client's report be found in the gateway's log.
  const input = readInput();
  const id = stringAt(input, member(input, 0, "id"));
  writeOutput('{"response":{"headers":[["add",' + quote(name) + "," + quote(id) + "]]}}");
  return 0;
}
