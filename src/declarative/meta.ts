/** What a document says of itself: its format, and whether its values are transformed already. */
import type { Faults } from "./draft.ts";
import { checkRemarks } from "./gather.ts";

export const FORMAT_VERSION = "3.0";
/** The fields at the top that are no collections. */
export const META = ["_format_version", "_transform", "_comment", "_ignore"];

export function checkMeta(top: Record<string, unknown>, faults: Faults): void {
  const version = top._format_version;
  if (version === undefined || version === null)
    faults.document(["_format_version"], "required field missing", `write _format_version: "3.0"`);
  else if (typeof version !== "string")
    faults.document(["_format_version"], "expected a string", `write _format_version: "3.0", in quotes`);
  else if (version !== FORMAT_VERSION) {
    const hint = ["1.1", "2.1"].includes(version)
      ? "Kong's older formats are not read; 'gatehouse import' turns them into 3.0"
      : null;
    faults.document(["_format_version"], `expected one of: ${FORMAT_VERSION}`, hint);
  }
  if (Object.hasOwn(top, "_transform") && top._transform !== null && typeof top._transform !== "boolean")
    faults.document(["_transform"], "expected a boolean");
  checkRemarks(top, [], faults);
}
