/**
 * graphql-depth: refuses GraphQL requests that ask for too much, before a server works on them: too many fields inside
 * one another, too many in all, or fragments that spread themselves.
 *
 * What counts is what a server would execute, so fragments are resolved; a request that this plugin and a server could
 * read in two ways (a member twice, a document that does not parse) is refused.
 */
// @ts-nocheck AssemblyScript, not TypeScript
import { Answer, Call, config, quote } from "@gatehouse/sdk/assemblyscript";
import { Document } from "./graphql";
import { queriesOfBody, queriesOfUrl } from "./request";

function limit(name: string): i32 {
  const value = config(name);
  return value === null ? 0 : <i32>parseInt(value);
}

export function access(): i32 {
  const call = new Call();
  const method = call.method;
  if (method != "GET" && method != "POST") return 0;
  const type = call.header("content-type");
  const body = call.body();
  const queries = method == "GET" ? queriesOfUrl(call.query) : queriesOfBody(body, type === null ? "" : type);
  if (queries === null) return refuse("The request is no GraphQL over HTTP");
  if (queries.length > limit("max_operations")) return refuse("Too many operations in one request");
  const maxDepth = limit("max_depth");
  let fields = 0;
  for (let i = 0; i < queries.length; i++) {
    const document = new Document(queries[i], maxDepth);
    if (document.problem != "") return refuse(document.problem);
    fields += document.fields;
    if (fields > limit("max_fields")) return refuse("More fields than " + limit("max_fields").toString());
  }
  return 0;
}

/** In the form of GraphQL's own errors. */
function refuse(reason: string): i32 {
  return new Answer().replyJson(400, '{"errors":[{"message":' + quote(reason) + "}]}").send();
}
