/**
 * Text that somebody else has chosen, inside a line of ours: without control characters, line ends, and marks that turn the
 * direction of writing, so that a name can neither forge another line nor reorder this one.
 */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "\ufffd");
}

/** What JSON leaves as it is, and a terminal takes for a command, or a reader of lines for the end of one. */
const ACTIVE = /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/** JSON that says the same, and holds nothing but its line ends that acts on whoever shows it. Hot: for each line of a log. */
export function inertJson(lines: string): string {
  return lines.replace(ACTIVE, (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
