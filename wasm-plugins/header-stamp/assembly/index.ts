/**
 * header-stamp: marks every request and its response with a header.
 * The smallest useful guest: it reads its config, and edits headers in two phases.
 */
// @ts-nocheck AssemblyScript, not TypeScript
import { Answer, Call, config, fail } from "@gatehouse/sdk/assemblyscript";

export function access(): i32 {
  const name = config("request_header");
  const value = config("value");
  if (name === null || value === null) return fail("config needs request_header and value");
  const answer = new Answer();
  answer.request.set(name, value);
  return answer.send();
}

export function header_filter(): i32 {
  const name = config("response_header");
  if (name === null) return 0;
  // The request's id lets a client's report be found in the gateway's log.
  const answer = new Answer();
  answer.response.add(name, new Call().id);
  return answer.send();
}
