/** `${{ env "DECK_X" }}` in decK's files, replaced in the text as decK does, before anything is read from it. */
import type { Remark } from "./kong-file.ts";

const REFERENCE =
  /\$\{\{\s*env\s+"([^"\n]{0,256})"\s*(?:\|\s*(toInt|toBool|toFloat|indent\s+\d{1,3})\s*)?\}\}/g;
/** What stands in place of one that is not set, so that the rest can be read. */
const ABSENT: Readonly<Record<string, string>> = { toInt: "0", toFloat: "0", toBool: "false" };

export function withEnvironment(
  text: string,
  environment: Readonly<Record<string, string | undefined>>,
  remarks: Remark[],
): string {
  let line = 1;
  let lineStart = 0;
  let seen = 0;
  return text.replace(REFERENCE, (_whole, name: string, filter: string | undefined, at: number) => {
    for (let next = text.indexOf("\n", seen); next !== -1 && next < at; next = text.indexOf("\n", seen)) {
      line++;
      lineStart = next + 1;
      seen = next + 1;
    }
    const place = { line, column: at - lineStart + 1, entity: null, field: "", hint: null };
    const isOurs = name.startsWith("DECK_");
    const value = isOurs ? environment[name] : undefined;
    const kind = value === undefined ? "left out" : "changed";
    const message = !isOurs
      ? `the variable '${name}' does not begin with DECK_, so decK does not read it either`
      : value === undefined
        ? `the variable ${name} is not set; set it, or write the value`
        : `the variable ${name} is written out`;
    remarks.push({ ...place, kind, message });
    if (value === undefined) return ABSENT[filter ?? ""] ?? `UNSET_${name.replace(/[^A-Za-z0-9_]/g, "_")}`;
    const indent = /^indent\s+(\d+)$/.exec(filter ?? "")?.[1];
    return indent === undefined ? value : value.replaceAll("\n", `\n${" ".repeat(Number(indent))}`);
  });
}
