/** An explanation as lines for people: aligned, the answer first, nothing that says nothing. */
import type { Explained, ExplainedCanary, ExplainedPlugin, RouteName } from "../gateway/explain.ts";

/** Width of the words on the left. */
const LEFT = 10;
const MAX_SHOWN = 160;

type Style = (text: string) => string;

/** @param colored whether a terminal shows it */
export function explanationLines(explained: Explained, colored: boolean): string[] {
  const style = (code: number): Style =>
    colored ? (text) => `\u001b[${code}m${text}\u001b[0m` : (text) => text;
  const writer = new Writer({ dim: style(2), good: style(32), bad: style(31), strong: style(1) });
  const { request } = explained;
  const from = [`client ${request.client_ip}`, ...(request.sni === null ? [] : [`sni ${request.sni}`])].join(
    ", ",
  );
  writer.line("request", `${request.method} ${request.scheme}://${host(explained)}${request.path}`, from);
  writer.gap();
  if (explained.match === null) writeMisses(writer, explained);
  else writeMatch(writer, explained, explained.match);
  writePlugins(writer, explained);
  return writer.lines;
}

class Writer {
  readonly lines: string[] = [];
  readonly style: Readonly<Record<"dim" | "good" | "bad" | "strong", Style>>;

  constructor(style: Writer["style"]) {
    this.style = style;
  }

  line(left: string, text: string, remark = ""): void {
    const shown =
      remark === "" ? printable(text) : `${printable(text)}  ${this.style.dim(printable(remark))}`;
    this.lines.push(`${this.style.strong(left.padEnd(LEFT))}${shown}`.trimEnd());
  }

  condition(holds: boolean, kind: string, text: string, remark = ""): void {
    const mark = holds ? this.style.good("✓") : this.style.bad("✗");
    const tail = remark === "" ? "" : `  ${this.style.dim(printable(remark))}`;
    this.lines.push(`${" ".repeat(LEFT)}${mark} ${kind.padEnd(9)}${printable(text)}${tail}`.trimEnd());
  }

  gap(): void {
    if (this.lines.at(-1) !== "") this.lines.push("");
  }
}

/** Names come from a file that somebody else may have written: no control characters reach the terminal. */
function printable(text: string): string {
  const plain = text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
  return plain.length > MAX_SHOWN ? `${plain.slice(0, MAX_SHOWN)}…` : plain;
}

function host({ request: { host: name, port, scheme } }: Explained): string {
  return port === (scheme === "https" ? 443 : 80) ? name : `${name}:${port}`;
}

function routeName({ id, name, workspace }: RouteName): string {
  return `${name ?? id}${workspace === "default" ? "" : ` of workspace ${workspace}`}`;
}

function writeMatch(writer: Writer, explained: Explained, match: NonNullable<Explained["match"]>): void {
  writer.line("route", routeName(match));
  for (const { kind, asks, by } of match.conditions)
    writer.condition(true, label(kind), by ?? asks.join(" or "));
  const parts = match.priority_parts.filter(({ name, value }) => value > 0 && name !== "expression");
  writer.line(
    "priority",
    parts.map(({ name, value }) => `${name} ${value}`).join(", ") || "0",
    `0x${match.priority}${match.kind === "expression" ? ", before every classic route" : ""}`,
  );
  for (const [i, other] of explained.others.entries())
    writer.line(i === 0 ? "later" : "", routeName(other), other.why);
  writer.gap();
  if (explained.answer !== null)
    writer.line("answers", `${explained.answer.status} ${explained.answer.message}`);
  if (explained.upstream === null) return;
  const { service, protocol, method, path, stripped, targets, ...upstream } = explained.upstream;
  writer.line("service", `${service}`, protocol);
  writer.line("sends", `${method} ${path}`, stripped === "" ? "" : `${stripped} stripped`);
  writer.line("", `Host: ${upstream.host ?? "the target's"}`);
  const width = Math.max(...targets.map(({ target }) => printable(target).length));
  for (const [i, { target, weight }] of targets.entries()) {
    const remark = targets.length > 1 ? `weight ${weight}` : "";
    writer.line(i === 0 ? "to" : "", remark === "" ? target : target.padEnd(width), remark);
  }
  if (targets.length === 0) writer.line("to", "nobody: the upstream has no targets");
}

const label = (kind: string): string => (kind === "expression" ? "" : kind);

function writeMisses(writer: Writer, { answer, misses }: Explained): void {
  const isRouted = answer?.status === 404;
  writer.line(isRouted ? "no route" : "answers", `${answer?.status ?? 404} ${answer?.message ?? ""}`);
  for (const [i, miss] of misses.entries()) {
    writer.line(i === 0 ? "nearest" : "", routeName(miss));
    for (const { kind, holds, asks, by, given } of miss.conditions) {
      const remark =
        holds || kind === "expression" ? "" : given === null ? "not in the request" : `is ${given}`;
      writer.condition(holds, label(kind), by ?? asks.join(" or "), remark);
    }
  }
}

function writePlugins(writer: Writer, { phases, with_consumers, idle }: Explained): void {
  writer.gap();
  const all = [...phases.flatMap(({ plugins }) => plugins), ...with_consumers, ...idle];
  const widths = [0, 1, 2, 3, 4].map((i) => Math.max(...all.map((plugin) => cells(plugin)[i]!.length)));
  const row = (plugin: ExplainedPlugin) =>
    cells(plugin)
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join("  ");
  if (all.length === 0) writer.line("plugins", "none");
  for (const { phase, plugins } of phases)
    for (const [i, plugin] of plugins.entries())
      writer.line(i === 0 ? (SHORT[phase] ?? phase) : "", row(plugin));
  for (const [i, plugin] of with_consumers.entries())
    writer.line(i === 0 ? "consumer" : "", row(plugin), `once the consumer is ${plugin.consumer}`);
  for (const [i, plugin] of idle.entries()) {
    const isUnknown = plugin.runtime === "unknown";
    writer.line(
      i === 0 ? "idle" : "",
      row(plugin),
      isUnknown ? "phases unknown; --prefix tells where to look" : "",
    );
  }
}

const SHORT: Readonly<Record<string, string>> = { header_filter: "headers", body_filter: "body" };

/** Which requests get the version that a roll-out tries. */
const triedBy = (canary: ExplainedCanary): string =>
  "header" in canary
    ? printable(`${canary.header.name}: ${canary.header.value}`)
    : `${Number((canary.weight * 100).toPrecision(3))} %`;

const cells = ({ name, version, priority, runtime, scope, canary }: ExplainedPlugin): string[] => [
  printable(name),
  `${version ?? ""}${canary === undefined ? "" : ` (${triedBy(canary)}: ${canary.version})`}`,
  priority === null ? "?" : String(priority),
  runtime,
  scope,
];
