/** All rows of one of the Admin API's lists, page by page; and rows as a table for a terminal. */
import { isObject } from "@gatehouse/sdk";
import { type AdminApi, messageOf, Unreachable, WrongAdmin } from "./admin-api.ts";

/**
 * @param list path without a slash before it.
 * @throws {Unreachable} @throws {WrongAdmin} it is no list, or not for this token.
 */
export async function allRows<Row extends object>(
  api: AdminApi,
  list: string,
  filter: Readonly<Record<string, string>> = {},
): Promise<Row[]> {
  const rows: Row[] = [];
  for (let page: Record<string, string> = { ...filter, size: "1000" }; ; ) {
    const answer = await api.ask("GET", `${list}?${new URLSearchParams(page)}`);
    if (answer.status >= 500 || answer.status === 429) throw new Unreachable(messageOf(answer));
    const data = answer.body?.data;
    if (answer.status !== 200 || !Array.isArray(data)) throw new WrongAdmin(messageOf(answer));
    rows.push(...data.filter((row): row is Row => isObject(row)));
    if (typeof answer.body?.offset !== "string") return rows;
    page = { ...page, offset: answer.body.offset };
  }
}

/** Columns side by side: those of text to the left, the others to the right. */
export function aligned(rows: readonly (readonly string[])[], texts: readonly number[] = [0]): string[] {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(...rows.map((row) => row[i]?.length ?? 0)),
  );
  return rows.map((row) =>
    row
      .map((cell, i) => (texts.includes(i) ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}
