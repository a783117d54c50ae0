/**
 * my-plugin: greets the service and the client by a header, and closes paths.
 * One export for each phase of plugin.yaml, without parameters, returning 0 when all went well.
 */
// @ts-nocheck AssemblyScript, not TypeScript
import { Answer, Call, config, fail, log, LogLevel, stringsAt } from "@gatehouse/sdk/assemblyscript";

export function access(): i32 {
  const path = new Call().path;
  const list = config("closed");
  const closed = list === null ? new Array<string>() : stringsAt(list, 0);
  for (let i = 0; i < closed.length; i++) {
    if (!path.startsWith(closed[i])) continue;
    log(LogLevel.info, "closed: " + path);
    return new Answer().replyJson(403, '{"message":"This path is closed"}').send();
  }
  const greeting = config("greeting");
  if (greeting === null) return fail("config needs a greeting");
  const answer = new Answer();
  answer.request.set("X-Greeting", greeting);
  return answer.send();
}

export function header_filter(): i32 {
  const greeting = config("greeting");
  if (greeting === null) return fail("config needs a greeting");
  const answer = new Answer();
  answer.response.set("X-Greeting", greeting);
  return answer.send();
}
