/** The expression of a route, ready to be asked, with what an index, an owner or a reader wants to know of it. */

import type { RouteInput } from "../router.ts";
import { compile, type Test } from "./compile.ts";
import { type Necessary, necessary } from "./necessary.ts";
import { type Expression, parseExpression } from "./syntax.ts";

/** What Kong says in front of every mistake in an expression. */
export const FAILED_VALIDATION = "Router Expression failed validation: ";

export interface RouteExpression {
  readonly test: Test;
  readonly necessary: Necessary;
  readonly tree: Expression;
}

/** @throws {ExpressionError} */
export function compileExpression(text: string, protocols: readonly string[]): RouteExpression {
  const tree = parseExpression(text);
  const test = compile(tree, text);
  const scheme = schemeOf(protocols);
  if (scheme === null) return { test, necessary: necessary(tree), tree };
  return {
    test: (fields) => fields.input.scheme === scheme && test(fields),
    necessary: necessary(tree),
    tree,
  };
}

/** The parts of a sound expression that must all be true, each on its own, as they were written: for people. */
export function conjunctsOf(
  text: string,
  protocols: readonly string[],
): readonly { readonly text: string; readonly test: Test }[] {
  const tree = parseExpression(text);
  const parts = tree.kind === "and" ? tree.parts : [tree];
  const conjuncts = parts.map((part) => ({ text: part.text, test: compile(part, text) }));
  const scheme = schemeOf(protocols);
  if (scheme === null) return conjuncts;
  return [
    { text: `net.protocol == "${scheme}"`, test: ({ input }) => input.scheme === scheme },
    ...conjuncts,
  ];
}

/**
 * The scheme that the protocols of a route ask for. A route for https alone asks for none, as in Kong: a request
 * by http must find it to be told to come back by https.
 */
export function schemeOf(protocols: RouteInput["protocols"]): "http" | "https" | null {
  if (protocols.length === 1 && protocols[0] === "https") return null;
  const http = protocols.includes("http") || protocols.includes("grpc");
  const https = protocols.includes("https") || protocols.includes("grpcs");
  return http === https ? null : http ? "http" : "https";
}
