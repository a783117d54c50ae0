/** A table of Markdown as the formatter of the repository leaves it: columns are filled up. */
export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = head.map((_, i) => Math.max(3, ...cells.map((row) => (row[i] as string).length)));
  const line = (row: readonly string[]) =>
    `| ${row.map((cell, i) => cell.padEnd(widths[i] as number)).join(" | ")} |`;
  const rule = widths.map((width) => "-".repeat(width));
  const [first, ...others] = cells as [string[], ...string[][]];
  return `${[first, rule, ...others].map(line).join("\n")}\n`;
}
