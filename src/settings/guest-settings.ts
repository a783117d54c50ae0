/** Settings of uploaded plugins: the processes that they run in, the fence around those, and what they may use. */
import { availableParallelism, totalmem } from "node:os";
import { array, integer, string } from "@gatehouse/sdk";
import { type GivenLimits, readLimits } from "../sandbox/limits.ts";
import { type GivenQuotas, readQuotas } from "../tenancy/quotas.ts";
import { UnreadableValue } from "./addresses.ts";
import { MIB, plain, read } from "./setting.ts";

function readLauncher(words: readonly string[]): readonly string[] {
  const [program] = words;
  if (program !== undefined && !program.startsWith("/"))
    throw new UnreadableValue(`'${program}' must be the absolute path of a program`);
  return words;
}

const limitEntries = (description: string) =>
  array(string({ lenMax: 256 }), { default: [], lenMax: 100, description });

function limits(entries: readonly string[]): GivenLimits {
  const given = readLimits(entries);
  if ("wrong" in given) throw new UnreadableValue(String(given.wrong));
  return given;
}

export const GUEST_SETTINGS = {
  cordons_max: plain(
    integer({
      default: 256,
      between: [1, 1024],
      description:
        "Processes that run guests at the same time. If one more is needed, a spare or the one idle for the longest " +
        "time goes; if none is idle, calls that need it fail as `unavailable`.",
    }),
  ),
  cordons_per_workspace: read(
    integer({
      between: [1, 64],
      description:
        "Processes that one workspace's guests get for each engine while those they have are busy all the time. " +
        "The default is half of the cores, and at least one.",
    }),
    (count) => count ?? Math.min(Math.max(1, Math.floor(availableParallelism() / 2)), 64),
  ),
  cordons_spare: plain(
    integer({
      default: 1,
      between: [0, 8],
      description:
        "Processes that are kept started for each engine that has guests, so that a workspace's first call does " +
        "not wait for one.",
    }),
  ),
  cordons_memory_bytes: read(
    integer({
      between: [64 * MIB, 1024 * 1024 * MIB],
      description:
        "Memory of all processes that run guests, what they share not counted, beyond which idle ones are ended. " +
        "The default is half of the machine's memory.",
    }),
    (bytes) => bytes ?? Math.max(64 * MIB, Math.floor(totalmem() / 2)),
    { bytes: true },
  ),
  cordon_launcher: read(
    array(string({ lenMin: 1, lenMax: 4096 }), {
      default: [],
      description:
        "A command, word by word, that is put before the command of every cordon to fence it in, instead of the " +
        "gateway's own fence: an absolute path first; `{root}` stands for the directory that is to become `/`, " +
        "`{slot}` for the cordon's number. It is tried at the start and used only if it holds. See docs/fence.md.",
    }),
    readLauncher,
  ),
  cordon_uid_first: plain(
    integer({
      default: 1_900_000_000,
      between: [1000, 4_294_960_000],
      description:
        "The first of 1043 uids (and gids) that cordons run under, one each, where the gateway runs as root. " +
        "Nobody else on the machine may have them.",
    }),
  ),
  cordon_cgroup: plain(
    string({
      default: "",
      lenMin: 0,
      match: "^(/[A-Za-z0-9._@:/-]+)?$",
      lenMax: 4096,
      description:
        "A directory of cgroup v2 with the controllers memory and pids for its children, in which each cordon " +
        "gets a cgroup of its own. Empty: the gateway's own cgroup, if it can be used so.",
    }),
  ),
  unfenced_uploads: plain(
    array(string({ match: "^[A-Za-z0-9._~-]+$", lenMax: 128 }), {
      default: [],
      description:
        "Workspaces that may upload plugins although the operating system's fence is not in force. " +
        "The workspace `default` always may.",
    }),
  ),
  plugin_limits: read(
    limitEntries(
      "Limits of uploaded plugins for every workspace, `name=value`, such as `wall_ms=500`. docs/limits.md lists them. " +
        "A workspace's own `plugin_limits` go before.",
    ),
    limits,
  ),
  plugin_limits_default: read(
    limitEntries(
      "The same for the workspace `default` alone, which has all the CPU time there is otherwise.",
    ),
    limits,
  ),
  workspace_quotas: read(
    limitEntries(
      "What every workspace but `default` may have, `name=value`, such as `requests_per_second=500`. docs/workspaces.md " +
        "lists them. A workspace's own `quotas` go before.",
    ),
    (entries): GivenQuotas => {
      const given = readQuotas(entries);
      if ("wrong" in given) throw new UnreadableValue(String(given.wrong));
      return given;
    },
  ),
  plugin_cpu_ms_per_second: read(
    integer({
      between: [10, 1_000_000],
      description:
        "CPU time, in each second, of the uploaded plugins of all workspaces that have a bound of their own. Where they " +
        "want more, each gets the same share. The default is half of the cores.",
    }),
    (ms) => ms ?? availableParallelism() * 500,
  ),
} as const;
