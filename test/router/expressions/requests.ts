/** Expressions and requests of which a test states only what it is about. */

import { RouteTable } from "../../../src/router/route-table.ts";
import type { MatchInput, RouteInput } from "../../../src/router/router.ts";
import { type RequestRow, request, route } from "../fixtures.ts";

export type ExpressionRow = Partial<RouteInput> & { id: string };

/** A table under the flavour `expressions`: a row without an expression is a classic route. */
export function tableOf(...rows: ExpressionRow[]): RouteTable<string> {
  const edit = RouteTable.empty<string>().edit();
  for (const row of rows) edit.add(route({ expression: null, ...row }), row.id);
  return edit.done() as RouteTable<string>;
}

/** Whether an expression holds for a request. */
export const holds = (expression: string, row: RequestRow | MatchInput): boolean =>
  tableOf({ id: "it", expression }).match("headerValues" in row ? (row as MatchInput) : request(row)) !==
  null;
