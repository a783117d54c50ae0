/**
 * The charts of a sitting, as SVG: ratios of throughput and of CPU for each case, and the latency curves of the
 * open-loop cases. Text and lines are of a middle grey that reads on light and on dark pages; where the viewer
 * tells which it is, they get more contrast. Nothing but the numbers decides what is drawn, so the same results
 * give the same bytes.
 */
import { BARS } from "./bars.ts";
import type { Case } from "./cases.ts";
import { QUANTILES } from "./load/constant-rate.ts";
import { type Metric, median, paired, type Sitting, valid } from "./results.ts";

export interface Chart {
  file: string;
  svg: string;
}

const WIDTH = 860;
const LABEL_WIDTH = 330;
const ROW = 18;
const COLORS = ["#2f81f7", "#e8833a", "#3fa45b", "#b566d9", "#d64f6c", "#8a8f3c"];
const STYLE =
  "text{font:12px system-ui,sans-serif;fill:#7a8088}.t{font-size:16px;font-weight:600}.g{font-weight:600}" +
  ".a{stroke:#7a8088;stroke-width:1}.r{stroke:#7a8088;stroke-opacity:.35}.b{stroke:#d64f6c;stroke-width:2}" +
  "@media(prefers-color-scheme:light){text{fill:#1f2328}}@media(prefers-color-scheme:dark){text{fill:#e6edf3}}";

export function drawCharts(sitting: Sitting, cases: readonly Case[]): Chart[] {
  const charts = [
    ratioChart(sitting, cases, {
      file: "throughput.svg",
      title: "Throughput: the gateway's requests/s ÷ the other's (longer is better)",
      metric: "requestsPerSecond",
      ratio: (own, other) => own / other,
      bar: (case_, against) =>
        BARS.find((b) => b.case === case_ && b.against === against && b.measure === "requests/s ÷")?.atLeast,
      skip: (case_) => case_.load === "half" || case_.cpuOnly !== undefined || case_.name === "threads",
    }),
    ratioChart(sitting, cases, {
      file: "cpu.svg",
      title: "CPU: the other's CPU time per request ÷ the gateway's (longer is better)",
      metric: "cpuUsPerRequest",
      ratio: (own, other) => other / own,
      bar: (case_, against) => {
        const bar = BARS.find((b) => b.case === case_ && b.against === against && b.measure === "CPU ÷");
        return bar?.atMost && 1 / bar.atMost;
      },
      skip: () => false,
    }),
  ];
  const open = cases.filter((case_) => case_.load === "half").map((case_) => latencyChart(sitting, case_));
  return [...charts, ...open].filter((chart) => chart !== undefined);
}

interface RatioChart {
  file: string;
  title: string;
  metric: Metric;
  ratio: (own: number, other: number) => number;
  /** The bar drawn across a row, as the ratio it asks for. */
  bar: (case_: string, against: string) => number | undefined;
  skip: (case_: Case) => boolean;
}

function ratioChart(sitting: Sitting, cases: readonly Case[], chart: RatioChart): Chart | undefined {
  type Row = { label: string; value: number; bar: number | undefined };
  const blocks: { name: string; rows: Row[] }[] = [];
  for (const case_ of cases.filter((candidate) => !chart.skip(candidate))) {
    const rows = case_.variants.flatMap(({ name }) => {
      if (name === case_.subject) return [];
      const value = paired(sitting, case_.name, case_.subject, name, chart.metric, chart.ratio);
      return value === undefined ? [] : [{ label: name, value, bar: chart.bar(case_.name, name) }];
    });
    if (rows.length > 0) blocks.push({ name: case_.name, rows });
  }
  if (blocks.length === 0) return undefined;
  const all = blocks.flatMap(({ rows }) => rows.flatMap(({ value, bar = 0 }) => [value, bar]));
  const most = Math.max(1, Math.ceil(Math.max(...all)));
  const x = (value: number) => round(LABEL_WIDTH + (value / most) * (WIDTH - LABEL_WIDTH - 60));
  const parts: string[] = [];
  let y = 60;
  const top = y - 8;
  for (const { name, rows } of blocks) {
    parts.push(text(16, y + 12, name, "g"));
    for (const { label, value, bar } of rows) {
      parts.push(text(LABEL_WIDTH - 8, y + 12, label, "", "end"));
      const fill = bar === undefined ? COLORS[0]! : value >= bar ? COLORS[2]! : COLORS[1]!;
      parts.push(
        `<rect x="${LABEL_WIDTH}" y="${y + 2}" width="${round(x(value) - LABEL_WIDTH)}" height="12" fill="${fill}"/>`,
      );
      if (bar !== undefined) parts.push(line(x(bar), y, x(bar), y + 16, "b"));
      parts.push(text(Math.max(x(value), bar === undefined ? 0 : x(bar)) + 6, y + 12, value.toFixed(2)));
      y += ROW;
    }
    y += 8;
  }
  const axis = Array.from({ length: most + 1 }, (_, i) => [
    line(x(i), top, x(i), y, i === 1 ? "a" : "r"),
    text(x(i), y + 14, `${i}×`, "", "middle"),
  ]).flat();
  const legend = text(16, 44, "green: bar met · orange: bar missed · blue: no bar · red line: the bar");
  return { file: chart.file, svg: svg(chart.title, y + 28, [legend, ...axis, ...parts]) };
}

function latencyChart(sitting: Sitting, case_: Case): Chart | undefined {
  const curves = case_.variants.flatMap(({ name }) => {
    const runs = valid(sitting, case_.name, name).flatMap((run) =>
      run.quantilesUs ? [run.quantilesUs] : [],
    );
    if (runs.length === 0) return [];
    const values = QUANTILES.map((_, i) => (median(runs.map((run) => run[i]!)) ?? 0) / 1000);
    return [{ name, values }];
  });
  if (curves.length === 0) return undefined;
  const rate = sitting.runs.find((run) => run.case === case_.name && run.askedPerSecond)?.askedPerSecond ?? 0;
  const [left, right, top, bottom] = [64, WIDTH - 190, 64, 360];
  const all = curves.flatMap(({ values }) => values);
  const low = Math.floor(Math.log10(Math.max(0.01, Math.min(...all))));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...all))));
  const y = (ms: number) =>
    round(bottom - ((Math.log10(Math.max(ms, 10 ** low)) - low) / (high - low)) * (bottom - top));
  // One more nine is one step to the right.
  const nines = (share: number) => -Math.log10(1 - share);
  const [first, last] = [nines(QUANTILES[0]!), nines(QUANTILES.at(-1)!)];
  const x = (share: number) => round(left + ((nines(share) - first) / (last - first)) * (right - left));
  const parts: string[] = [
    text(16, 44, `${rate.toLocaleString("en-US")} requests/s, counted from when each was due; ms, log scale`),
  ];
  for (let power = low; power <= high; power++) {
    parts.push(line(left, y(10 ** power), right, y(10 ** power), power === low ? "a" : "r"));
    parts.push(text(left - 8, y(10 ** power) + 4, String(Number((10 ** power).toFixed(3))), "", "end"));
  }
  for (const share of [0.5, 0.9, 0.99, 0.999, 0.9999]) {
    parts.push(line(x(share), top, x(share), bottom, "r"));
    parts.push(text(x(share), bottom + 18, `p${Number((share * 100).toFixed(2))}`, "", "middle"));
  }
  // By height at the right end, so that legend and curves are in the same order.
  const order = curves.map((curve, i) => ({ ...curve, color: COLORS[i % COLORS.length]! }));
  order.sort((a, b) => b.values.at(-1)! - a.values.at(-1)!);
  for (const [i, { name, values, color }] of order.entries()) {
    const points = values.map((ms, k) => `${x(QUANTILES[k]!)},${y(ms)}`).join(" ");
    const at = top + 12 + i * 38;
    const [p50, p99, p999] = [0.5, 0.99, 0.999].map((share) =>
      threeDigits(values[QUANTILES.indexOf(share)]!),
    );
    parts.push(`<polyline points="${points}" fill="none" stroke="${color}" stroke-width="2"/>`);
    parts.push(`<rect x="${right + 12}" y="${at - 9}" width="10" height="10" fill="${color}"/>`);
    parts.push(text(right + 28, at, name));
    parts.push(text(right + 28, at + 15, `${p50} / ${p99} / ${p999}`));
  }
  parts.push(text(right + 12, top - 10, "p50 / p99 / p99.9, ms"));
  return {
    file: `latency-${case_.name}.svg`,
    svg: svg(`${case_.name}: latency at a constant rate (lower is better)`, bottom + 36, parts),
  };
}

function svg(title: string, height: number, parts: string[]): string {
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(title)}">`,
    `<title>${escaped(title)}</title><style>${STYLE}</style>`,
    text(16, 24, title, "t"),
    ...parts,
    "</svg>\n",
  ].join("\n");
}

function text(x: number, y: number, content: string, style = "", anchor = ""): string {
  const attributes = `${style && ` class="${style}"`}${anchor && ` text-anchor="${anchor}"`}`;
  return `<text x="${round(x)}" y="${round(y)}"${attributes}>${escaped(content)}</text>`;
}

function line(x1: number, y1: number, x2: number, y2: number, style: string): string {
  return `<line class="${style}" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/>`;
}

function threeDigits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
