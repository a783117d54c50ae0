/**
 * Text that somebody else has chosen, inside a line of ours: without control characters and line ends, so that a name
 * cannot forge another line.
 */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, "\ufffd");
}
