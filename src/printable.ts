/**
 * Text that somebody else has chosen, inside a line of ours: without control characters, line ends, and marks that turn the
 * direction of writing, so that a name can neither forge another line nor reorder this one.
 */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "\ufffd");
}
