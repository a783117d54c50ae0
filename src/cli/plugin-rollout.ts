/**
 * `gatehouse plugin deploy|promote|rollback|rollouts`: a channel on its way to another version. `deploy --wait` follows a
 * roll-out to its end, and its exit code tells which.
 */
import { setTimeout } from "node:timers/promises";
import { isObject } from "@gatehouse/sdk";
import type { Command } from "commander";
import { printable } from "../printable.ts";
import { PackError } from "./pack.ts";
import { type Asked, type RegistryOptions, remote, run } from "./plugin-registry.ts";
import type { Result } from "./plugin-report.ts";
import { aligned } from "./rows.ts";

interface DeployOptions extends RegistryOptions {
  readonly channel: string;
  readonly canary?: string;
  readonly watch?: boolean;
  readonly window?: string;
  readonly minCalls?: string;
  readonly maxErrorRate?: string;
  readonly maxViolationRate?: string;
  readonly maxLatencyRatio?: string;
  readonly maxFuelRatio?: string;
  readonly manual?: boolean;
  readonly wait?: boolean;
}

interface EndOptions extends RegistryOptions {
  readonly channel?: string;
  readonly why?: string;
}

type Body = Record<string, unknown>;

/** How often `--wait` asks. */
const LOOK_MS = 1000;

export function registerRolloutCommands(plugin: Command): void {
  remote(
    plugin
      .command("deploy")
      .description("move a channel to a version, for a part of the requests first if that is asked for")
      .argument("<plugin@version>", "a version that is published")
      .option("--channel <name>", "the channel that plugin entities follow", "stable")
      .option(
        "--canary <part>",
        "who gets it first: a part of the requests (5%), or those with a header (x-try=new); watched by default",
      )
      .option("--watch", "measure it against the running version, and roll back what does worse")
      .option("--no-watch", "let a canary run until somebody promotes it or rolls it back")
      .option("--window <seconds>", "how long it has to do well before it is promoted")
      .option("--min-calls <count>", "calls of it, fewer of which tell too little")
      .option("--max-error-rate <part>", "by how much more of its calls and requests may fail, such as 1%")
      .option("--max-violation-rate <part>", "by how much more of its calls may break the plugins' contract")
      .option("--max-latency-ratio <times>", "how many times as long its calls may take")
      .option("--max-fuel-ratio <times>", "how many times as much fuel or CPU time they may use")
      .option("--manual", "promote it by hand alone; what does worse is rolled back all the same")
      .option("--wait", "wait for its end: exit code 0 if it is promoted, 1 if it is rolled back"),
  ).action((name: string, options: DeployOptions) => run(options, (api) => deploy(api, name, options)));
  for (const [verb, description] of [
    ["promote", "move the channel to the version that a roll-out tries, now"],
    ["rollback", "end a roll-out where it began; without one, move the channel back to the version before"],
  ] as const)
    remote(
      plugin
        .command(verb)
        .description(description)
        .argument("<plugin>")
        .option("--channel <name>", "default: that of the roll-out that has not ended, or stable")
        .option("--why <text>", "why, for the channel's history"),
    ).action((name: string, options: EndOptions) => run(options, (api) => end(api, verb, name, options)));
  remote(
    plugin
      .command("rollouts")
      .description("roll-outs of a plugin, with what was measured; the one that runs first")
      .argument("<plugin>"),
  ).action((name: string, options: RegistryOptions) => run(options, (api) => rollouts(api, name)));
}

async function deploy(api: Asked, written: string, options: DeployOptions): Promise<Result> {
  const at = written.lastIndexOf("@");
  if (at <= 0) throw new PackError([`'${written}' names no version; write plugin@1.2.0`]);
  const path = pathOf(written.slice(0, at));
  const given = { version: written.slice(at + 1), channel: options.channel };
  const begun = await api.ask("POST", `${path}/rollouts`, {
    ...given,
    ...canaryOf(options),
    ...watchOf(options),
  });
  const last = options.wait === true ? await ended(api, path, begun, options.json === true) : begun;
  if (options.wait === true && last.state === "rolled_back") throw new PackError(linesOf(last));
  return { lines: linesOf(last), json: last };
}

/** @throws {PackError} */
function canaryOf({ canary }: DeployOptions): Body {
  if (canary === undefined) return {};
  const header = /^([^=%\s]+)=(.*)$/s.exec(canary);
  if (header !== null) return { header: { name: header[1], value: header[2] } };
  return { weight: part("--canary", canary) };
}

function watchOf(options: DeployOptions): Body {
  const { window, minCalls, maxErrorRate, maxViolationRate, maxLatencyRatio, maxFuelRatio, manual } = options;
  const watch = {
    ...(window === undefined ? {} : { window_seconds: count("--window", window) }),
    ...(minCalls === undefined ? {} : { min_calls: count("--min-calls", minCalls) }),
    ...(maxErrorRate === undefined ? {} : { max_error_rate: part("--max-error-rate", maxErrorRate) }),
    ...(maxViolationRate === undefined
      ? {}
      : { max_violation_rate: part("--max-violation-rate", maxViolationRate) }),
    ...(maxLatencyRatio === undefined
      ? {}
      : { max_latency_ratio: count("--max-latency-ratio", maxLatencyRatio) }),
    ...(maxFuelRatio === undefined ? {} : { max_fuel_ratio: count("--max-fuel-ratio", maxFuelRatio) }),
    ...(manual === true ? { promote: "manual" } : {}),
  };
  const isAsked = options.watch ?? (options.canary !== undefined || Object.keys(watch).length > 0);
  return isAsked ? { watch } : {};
}

/** `5%` or `0.05`. @throws {PackError} */
function part(option: string, text: string): number {
  const percent = /^(\d+(?:\.\d+)?)\s*%$/.exec(text);
  if (percent !== null) return Number(percent[1]) / 100;
  if (/^\d*\.?\d+$/.test(text)) return Number(text);
  throw new PackError([`${option} ${text}: write a part of all, such as 5% or 0.05`]);
}

/** @throws {PackError} */
function count(option: string, text: string): number {
  if (/^\d+(?:\.\d+)?$/.test(text)) return Number(text);
  throw new PackError([`${option} ${text}: write a number`]);
}

async function ended(api: Asked, path: string, begun: Body, quiet: boolean): Promise<Body> {
  const isTty = process.stderr.isTTY === true && !quiet;
  for (let now = begun; ; ) {
    if (now.state !== "running" && now.state !== "waiting_consent") {
      if (isTty) process.stderr.write("\r\x1b[K");
      return now;
    }
    if (isTty) process.stderr.write(`\r\x1b[K${printable(`${now.state}: ${now.why}`).slice(0, 120)}`);
    await setTimeout(LOOK_MS);
    now = await api.ask("GET", `${path}/rollouts/${encodeURIComponent(String(now.id))}`);
  }
}

async function end(
  api: Asked,
  verb: "promote" | "rollback",
  name: string,
  options: EndOptions,
): Promise<Result> {
  const { channel, why } = options;
  const said = { ...(channel === undefined ? {} : { channel }), ...(why === undefined ? {} : { why }) };
  const done = await api.ask("POST", `${pathOf(name)}/${verb}`, said);
  return { lines: linesOf(done), json: done };
}

async function rollouts(api: Asked, name: string): Promise<Result> {
  const json = await api.ask("GET", `${pathOf(name)}/rollouts`);
  const list = Array.isArray(json.data) ? json.data.filter(isObject) : [];
  const lines = list.flatMap((one, i) => [...(i === 0 ? [] : [""]), ...linesOf(one)]);
  return { lines: lines.length === 0 ? ["no roll-outs"] : lines, json };
}

const pathOf = (plugin: string) => `plugin-packages/${encodeURIComponent(plugin)}`;

const STATES: Readonly<Record<string, string>> = {
  running: "runs",
  waiting_consent: "waits for consent",
  promoted: "is promoted",
  rolled_back: "is rolled back",
};

function linesOf(rollout: Body): string[] {
  const { plugin, version, from, channel, state, weight, header, why, figures } = rollout;
  const who = isObject(header)
    ? ` for requests with ${header.name}: ${header.value}`
    : typeof weight === "number" && weight < 1
      ? ` for ${Number((weight * 100).toPrecision(3))} % of the requests`
      : "";
  const split = state === "running" || state === "waiting_consent" ? who : "";
  const head = `${plugin}@${version} ${STATES[String(state)] ?? state}${split}, channel ${channel} (from ${from})`;
  return [
    printable(head),
    ...(why === "" || typeof why !== "string" ? [] : [`  ${printable(why)}`]),
    ...(isObject(figures) ? figureLines(figures) : []),
    ...(state === "waiting_consent" ? [`  give it: gatehouse plugin consent ${plugin} ${version}`] : []),
  ];
}

function figureLines({ running, canary }: Body): string[] {
  if (!isObject(running) || !isObject(canary)) return [];
  const rows = Object.keys(canary).map((name) => [
    `  ${name.replaceAll("_", " ")}`,
    String(canary[name]),
    String(running[name]),
  ]);
  return aligned([["", "this version", "running"], ...rows]);
}
