/**
 * The page of all limits of plugins, made from the table of those that can be moved and from the very constants
 * that hold the others:
 *
 *     npm run docs:limits      writes docs/limits.md
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { MAX_BODY_BYTES, MAX_REQUESTS, MAX_TTL_SECONDS } from "../../plugins/request-recording.ts";
import { MAX_UPLOADS } from "../admin/packages-api.ts";
import { CALLOUT_LIMITS } from "../callouts/callouts.ts";
import { KEY_COST, MAX_KEYS } from "../guest-store/key-value-store.ts";
import { MAX_WAITING, MAX_WAITING_OF_ALL } from "../guest-store/store-client.ts";
import { GUEST_LINES, WORKSPACE_METRICS } from "../observe/thread-metrics.ts";
import { MAX_GATES } from "../pipeline/gates.ts";
import { MAX_ENTRIES, MAX_PACKAGE_BYTES, MAX_UNPACKED_BYTES } from "../registry/archive.ts";
import { MAX_AUTHOR_KEYS, MAX_SIGNATURES } from "../registry/author-keys.ts";
import { MAX_CHANNELS, MAX_MOVES, MAX_WORKSPACE_CHANNELS } from "../registry/channels.ts";
import { MAX_MATCHING, MAX_PATTERN_CHARACTERS, MAX_PATTERNS } from "../registry/config-schema.ts";
import { MAX_DELETED } from "../registry/deleted-versions.ts";
import { MAX_MANIFEST_BYTES, MAX_MANIFEST_DEPTH, MAX_MANIFEST_PARTS } from "../registry/manifest-text.ts";
import { MAX_ROWS_BYTES } from "../registry/registry.ts";
import { MAX_SHARED_TO } from "../registry/shared-lines.ts";
import { MAX_EXTENDED_HEADER_BYTES } from "../registry/tar-reader.ts";
import {
  MAX_WAITING_REPLAYS,
  MOST_ON_THE_WAY,
  MOST_ON_THE_WAY_OF_ONE,
  MOST_PER_SECOND,
  MOST_RECORDING_BYTES,
  MOST_RECORDINGS,
  MOST_REPORTED,
  REPLAY_MS,
} from "../replay/limits.ts";
import { MAX_ENDED, MAX_RUNNING } from "../rollout/rollout.ts";
import { MAX_QUEUED_MS, WAITING_FACTOR } from "../sandbox/calls/deadlines.ts";
import { HOST_CALL_LIMITS, MAX_VAR_DEPTH } from "../sandbox/calls/host-call-limits.ts";
import { MAX_IN_FLIGHT } from "../sandbox/calls/lane.ts";
import { MAX_ATTEMPTS, MAX_QUEUED } from "../sandbox/calls/lanes.ts";
import { LOADING_MS, STALLED_MS } from "../sandbox/calls/link.ts";
import { MAX_VARS, MAX_VARS_BYTES } from "../sandbox/calls/verdict.ts";
import { STARTUP_MS } from "../sandbox/cordon/isolate-engine.ts";
import { DEFAULTS as FORGE } from "../sandbox/forge/forge-client.ts";
import { DEFAULT_FORGE_LIMITS } from "../sandbox/forge/limits.ts";
import { DEADLINE_MS as SMOKE_MS } from "../sandbox/forge/smoke.ts";
import { WORKSPACE_LIMIT_TABLE, type WorkspaceLimit } from "../sandbox/limits.ts";
import { MAX_FRAME_FROM_CORDON, MAX_FRAME_TO_CORDON } from "../sandbox/protocol/frames.ts";
import { MAX_CORDONS } from "../sandbox/protocol/messages.ts";
import { MAX_DEBT_MS } from "../sandbox/supervisor/budget.ts";
import { LONGEST_MS } from "../sandbox/supervisor/strikes.ts";
import { IDLE_MS, MAX_RSS_BYTES } from "../sandbox/supervisor/supervisor-options.ts";
import { MAX_APART, STRIKES, STRIKES_APART } from "../sandbox/supervisor/suspension.ts";
import { UNEXPLAINED, UNEXPLAINED_KILLS } from "../sandbox/supervisor/unexplained.ts";
import { START_MS } from "../sandbox/supervisor/watch.ts";
import { MAX_SECRET_BYTES } from "../secrets/secrets.ts";
import { amount } from "../settings/reference.ts";
import { SETTINGS } from "../settings/table.ts";
import { markdownTable } from "./markdown-table.ts";

export const REFERENCE = fileURLToPath(new URL("../../docs/limits.md", import.meta.url));

const INTRODUCTION = `# Limits of plugins

<!-- Made by \`npm run docs:limits\` from src/sandbox/limits.ts and the constants that hold the rest. -->

Everything that an uploaded plugin can use is bounded. A call that meets a bound ends alone: it is answered 500, 503 or
429 with a request id where its manifest says \`fail: closed\`, and is passed over where it says \`fail: open\`. Log,
\`GET /plugin-usage\` and \`gatehouse_plugin_failures_total\` name the kind of failure that stands first in the tables.
`;

const MOVED = `## Limits of a workspace

The operator moves them for all workspaces by the setting \`plugin_limits\` (\`memory_bytes=64m,wall_ms=500\`), for \`default\`
by \`plugin_limits_default\`, and for any other workspace in the configuration:

    workspaces:
      - name: acme
        plugin_limits: { memory_bytes: 67108864, cpu_ms_per_second: 1000 }

The workspace's own go before the setting, the setting before the default; a limit that is moved holds from the next
request on. What is marked \`manifest\` a package may lower for itself under \`limits\`, and never raise; a module's memory is
clamped when it is uploaded, so a higher \`memory_bytes\` holds for packages that are uploaded afterwards.
`;

const FAIR = `### CPU time of a workspace

What counts is what the kernel says that the workspace's processes have used, starts and compiling included; a plugin
cannot report less. The account is filled up continuously at \`cpu_ms_per_second\`, up to \`cpu_burst_ms\`. When it is empty,
calls of that workspace's plugins are refused with 429 and Retry-After, or wait for \`cpu_wait_ms\`; nobody else's are.
Calls that run when ${MAX_DEBT_MS} ms more than that are used are cut off with their process. Where all bounded workspaces together want
more than \`plugin_cpu_ms_per_second\` (by default half of the cores), that is shared out: who wants less than an equal
part gets it, the others get the same each. \`default\`, the operator's own workspace, has no bound and takes no part in
that, unless \`plugin_limits_default\` gives it one. Log: one line when a budget is used up and one each ten seconds;
metrics: \`gatehouse_workspace_cpu_seconds_total\`, \`gatehouse_workspace_cpu_exhausted_total\`.
`;

const FIXED = `## Limits that do not move

Or move by a setting of their own, where one is named.
`;

const FAILS = "500, or skipped";

/** What is bounded, how much, what happens beyond it. */
type Row = readonly [bounds: string, most: string, beyond: string];

const bytes = (value: number) => amount(value, true);
const ms = (value: number) => (value % 1000 === 0 ? `${value / 1000} s` : `${value} ms`);
const setting = (name: keyof typeof SETTINGS) => {
  const { default: value } = SETTINGS[name].field;
  return value === undefined
    ? `\`${name}\``
    : `${amount(value as number, SETTINGS[name].bytes)} (\`${name}\`)`;
};

const { logLines, logCharacters, randomBytes, fetches, fetchUrlCharacters, fetchHeaders, fetchHeaderBytes } =
  HOST_CALL_LIMITS;
const forge = DEFAULT_FORGE_LIMITS;

const GROUPS: readonly (readonly [title: string, rows: readonly Row[]])[] = [
  [
    "Packages",
    [
      ["an upload", bytes(MAX_PACKAGE_BYTES), "413"],
      ["what it unpacks to", bytes(MAX_UNPACKED_BYTES), "400"],
      ["entries of the archive", String(MAX_ENTRIES), "400"],
      ["a header in it that only says more of the next entry", bytes(MAX_EXTENDED_HEADER_BYTES), "400"],
      ["`plugin.yaml`", bytes(MAX_MANIFEST_BYTES), "400"],
      ["its tokens, lines and escapes", String(MAX_MANIFEST_PARTS), "400"],
      ["its nesting and indentation", String(MAX_MANIFEST_DEPTH), "400"],
      [
        "patterns of its `schema`",
        `${MAX_PATTERNS}, of ${MAX_PATTERN_CHARACTERS} characters together`,
        "400",
      ],
      [
        "characters of a config's texts times steps of the patterns that they are matched with",
        String(MAX_MATCHING),
        "400",
      ],
      ["manifests and reports of a workspace's packages", bytes(MAX_ROWS_BYTES), "413"],
      ["channels of a plugin; of a workspace", `${MAX_CHANNELS}; ${MAX_WORKSPACE_CHANNELS}`, "400"],
      ["versions that a workspace has deleted", String(MAX_DELETED), "400"],
      ["keys of a workspace's authors", String(MAX_AUTHOR_KEYS), "400"],
      ["signatures of a package", String(MAX_SIGNATURES), "400"],
      ["workspaces that a plugin is shared to", String(MAX_SHARED_TO), "400"],
      ["moves of a channel that are remembered", String(MAX_MOVES), "the oldest are forgotten"],
      ["roll-outs of a workspace that have not ended", String(MAX_RUNNING), "400"],
      [
        "roll-outs of a plugin that have ended and are remembered",
        String(MAX_ENDED),
        "the oldest are forgotten",
      ],
      [
        "roll-outs that the requests of one workspace are drawn for, those of plugins shared to it included",
        String(MAX_GATES),
        "plugins of the others stay with the version that runs",
      ],
      [
        "uploads at the same time, shared out between workspaces",
        String(MAX_UPLOADS),
        "429 with Retry-After",
      ],
      ["a WebAssembly module", bytes(forge.wasmBytes), "400"],
      ["a JavaScript bundle", bytes(forge.isolateBytes), "400"],
      ["a module after metering", bytes(forge.emittedBytes), "400"],
      ["functions of a module", String(forge.functions), "400"],
      ["globals, exports, imports, types: each", String(forge.items), "400"],
      ["entries of a table; its maximum is set to this", String(forge.tableEntries), "400"],
      ["data segments", bytes(forge.dataBytes), "400"],
      ["element segments", bytes(forge.elementBytes), "400"],
      ["locals of a function", String(forge.locals), "400"],
      ["fuel of a module's start", String(forge.startFuel), `400; later \`load\`: ${FAILS}`],
      ["time of the forge for an artifact", ms(FORGE.deadlineMs), "400"],
      ["memory of the forge", bytes(FORGE.rssBytes), "400"],
      [
        "artifacts that wait for the forge, shared out likewise",
        String(FORGE.queueLength),
        "429 with Retry-After",
      ],
      ["time of the trial start of an upload", ms(SMOKE_MS), "400"],
    ],
  ],
  [
    "Processes that run guests (cordons)",
    [
      ["cordons at once", `${setting("cordons_max")}, at most ${MAX_CORDONS}`, "`unavailable`: 503"],
      [
        "of one workspace and engine under load",
        setting("cordons_per_workspace"),
        "calls wait in their queue",
      ],
      ["kept started for each engine", setting("cordons_spare"), "a first call waits for a start"],
      ["memory of all", setting("cordons_memory_bytes"), "idle ones are ended"],
      ["resident memory of one", bytes(MAX_RSS_BYTES), `\`memory\`: it is killed; ${FAILS}`],
      ["time until it is ready", ms(START_MS), "it is killed and another started"],
      ["time without a call", ms(IDLE_MS), "it is ended"],
      ["CPU time without a call", "a quarter of a core for two seconds", "`timeout`: it is killed"],
      ["calls of one data thread in one cordon", String(MAX_IN_FLIGHT), "later ones wait in their queue"],
      [
        "calls that wait, of one workspace and engine on one data thread",
        String(MAX_QUEUED),
        "`unavailable`: 503",
      ],
      ["time that a call waits for a cordon", ms(MAX_QUEUED_MS), "`unavailable`: 503"],
      [
        "times that a call is sent, where cordons die before it began",
        String(MAX_ATTEMPTS),
        "`crashed`: 500",
      ],
      ["first call of an instance, beside `wall_ms`", ms(LOADING_MS), `\`deadline\`: it is killed; ${FAILS}`],
      ["loading of a JavaScript guest", ms(STARTUP_MS), `\`load\`: ${FAILS}`],
      ["a call with its waits", `${WAITING_FACTOR} × \`wall_ms\``, `\`deadline\`: ${FAILS}`],
      [
        "a call that waits in a cordon while others' are said to run",
        ms(STALLED_MS),
        "`violation`: it is killed",
      ],
      ["a frame to a cordon", bytes(MAX_FRAME_TO_CORDON), `\`load\`: ${FAILS}`],
      ["a frame from a cordon", bytes(MAX_FRAME_FROM_CORDON), "`violation`: it is killed"],
      [
        "cordons that a plugin takes with it in a minute",
        `${STRIKES_APART}, then ${STRIKES}`,
        `it gets a cordon of its own, then \`suspended\`: 503 for up to ${ms(LONGEST_MS)}`,
      ],
      [
        "cordons of a workspace that end in a minute while no call runs",
        `${UNEXPLAINED}; ${UNEXPLAINED_KILLS} that are killed from outside`,
        `it gets none for up to ${ms(LONGEST_MS)}: \`unavailable\`: 503`,
      ],
      ["plugins of a workspace with a cordon of their own", String(MAX_APART), "they share the workspace's"],
    ],
  ],
  [
    "What a guest asks of the gateway, for each call unless it says otherwise",
    [
      ["lines of log", `${logLines} of ${logCharacters} characters`, "dropped, and counted in a line"],
      [
        "lines beyond these",
        String(HOST_CALL_LIMITS.droppedLines),
        `\`violation\`: ${FAILS}; a JavaScript guest's alone`,
      ],
      ["random bytes", bytes(randomBytes), `\`violation\`: ${FAILS}`],
      [
        "vars of a request; their bytes; the nesting of one",
        `${MAX_VARS}; ${bytes(MAX_VARS_BYTES)}; ${MAX_VAR_DEPTH}`,
        `\`violation\`: ${FAILS}`,
      ],
      ["fetches at the same time", String(fetches), "the fetch fails"],
      [
        "a fetch's URL; header fields; their bytes; body",
        `${fetchUrlCharacters} characters; ${fetchHeaders}; ${bytes(fetchHeaderBytes)}; ${bytes(HOST_CALL_LIMITS.fetchBodyBytes)}`,
        "the fetch fails",
      ],
      ["time of a fetch, redirects included", ms(CALLOUT_LIMITS.totalMs), "the fetch fails"],
      ["redirects of a fetch", String(CALLOUT_LIMITS.redirects), "the fetch fails"],
      [
        "an answer's body; its head",
        `${bytes(CALLOUT_LIMITS.answerBytes)}; ${bytes(CALLOUT_LIMITS.answerHeaderBytes)}`,
        "the fetch fails",
      ],
      [
        "fetches of a workspace on one data thread; of all",
        `${CALLOUT_LIMITS.perWorkspace}; ${CALLOUT_LIMITS.total}`,
        "the fetch fails",
      ],
      [
        "a key of the store; a value",
        `${HOST_CALL_LIMITS.kvKeyBytes}; ${bytes(HOST_CALL_LIMITS.kvValueBytes)}`,
        "the call fails",
      ],
      [
        `keys and values of a plugin, ${KEY_COST} bytes more for each key`,
        `what its manifest was granted as \`kv_bytes\`, at most 64m and ${MAX_KEYS} keys`,
        "the call fails",
      ],
      ["keys and values of all", setting("guest_kv_max_bytes"), "the call fails"],
      [
        "operations of a workspace that wait for the store on one data thread; of all",
        `${MAX_WAITING}; ${MAX_WAITING_OF_ALL}`,
        "the call fails",
      ],
      ["a secret", bytes(MAX_SECRET_BYTES), "the call fails, and the log says why"],
      [
        "metrics of a workspace's guests on one data thread; lines; label characters; lines of all workspaces",
        `${WORKSPACE_METRICS.metrics}; ${WORKSPACE_METRICS.lines}; ${bytes(WORKSPACE_METRICS.labelCharacters)}; ${GUEST_LINES}`,
        "dropped, and counted in `gatehouse_metric_overflow_total`",
      ],
    ],
  ],
  [
    "Requests that are recorded and replayed",
    [
      [
        "recordings of a workspace; their bytes",
        `${MOST_RECORDINGS}; ${bytes(MOST_RECORDING_BYTES)}`,
        "the oldest go",
      ],
      [
        "recordings of one plugin entity; a body; how long they are kept",
        `${MAX_REQUESTS}; ${bytes(MAX_BODY_BYTES)}; ${MAX_TTL_SECONDS / 86_400} days`,
        "the configuration is refused",
      ],
      [
        "requests of one plugin entity in a second on one data thread",
        String(MOST_PER_SECOND),
        "they are not recorded",
      ],
      [
        "recordings of a workspace on their way from one data thread; of all",
        `${bytes(MOST_ON_THE_WAY_OF_ONE)}; ${bytes(MOST_ON_THE_WAY)}`,
        "dropped, and counted in `gatehouse_recordings_dropped_total`",
      ],
      ["recordings of all", setting("recordings_max_bytes"), "the workspace with most loses its oldest"],
      ["time of a replay", ms(REPLAY_MS), "what is left is left out, and said to be"],
      [
        "replays that wait, shared out between workspaces",
        String(MAX_WAITING_REPLAYS),
        "429 with Retry-After",
      ],
      ["differing requests that a report names", String(MOST_REPORTED), "they are counted"],
    ],
  ],
];

/** The page as Markdown. */
export function limitsReference(): string {
  const moved = Object.entries(WORKSPACE_LIMIT_TABLE).map(([name, row]) => movedRow(name, row));
  const head = ["limit", "bounds", "default", "operator may set", "manifest", "beyond it", "held by"];
  const groups = GROUPS.map(
    ([title, rows]) => `### ${title}\n\n${markdownTable(["bounds", "most", "beyond it"], rows)}`,
  );
  return [INTRODUCTION, MOVED, markdownTable(head, moved), FAIR, FIXED, ...groups].join("\n");
}

function movedRow(name: string, row: WorkspaceLimit): string[] {
  const { unit, between, inManifest, bounds, beyond, enforcedBy } = row;
  const written = (value: number) => (unit === "bytes" ? bytes(value) : String(value));
  const named = unit === "ms" || unit === "ms/s" || unit === "lines/s" ? ` ${unit}` : "";
  const range = `${written(between[0])} to ${written(between[1])}`;
  const given = written(row.default) + named;
  return [`\`${name}\``, bounds, given, range, inManifest ? "lowers" : "", beyond, enforcedBy];
}

if (import.meta.main) writeFileSync(REFERENCE, limitsReference());
