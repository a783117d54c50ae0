/**
 * `/plugin-tail` and `/{workspace}/plugin-tail`: what uploaded plugins of a workspace do on this node, as it happens. A line
 * of JSON for each request that a plugin has seen; the first one says that it is watched from now on. Without a workspace
 * it is the one of `default`.
 */
import { Readable } from "node:stream";
import { TAIL_LEVELS, type TailFilter } from "../tail/events.ts";
import { numbered, Refusal } from "./answers.ts";
import { workspaceId, workspaceName } from "./entity-view.ts";
import type { AdminPort } from "./port.ts";
import type { Answer, Call, Route } from "./routes.ts";

export function tailRoutes(port: AdminPort): Route[] {
  return ["", "/:workspace"].map(
    (prefix): Route => ({
      path: `${prefix}/plugin-tail`,
      before: (call) => void workspaceId(port, call),
      async GET(call): Promise<Answer> {
        const opened = await port.tail(filterOf(call));
        if (!(opened instanceof Readable))
          throw new Refusal(429, { message: opened.full }, { "retry-after": "10" });
        const headers = { "content-type": "application/x-ndjson", "cache-control": "no-store" };
        return { status: 200, body: opened, headers };
      },
    }),
  );
}

/** @throws {Refusal} 400 with everything that is wrong */
function filterOf(call: Call): TailFilter {
  const { plugin, level, route, status, ...others } = call.query;
  const problems: Record<string, string> = {};
  for (const name of Object.keys(others))
    problems[name.slice(0, 100)] = "not known here; plugin, level, route and status are";
  const text = (name: string, value: unknown): string | null => {
    if (value === undefined) return null;
    if (typeof value === "string" && value !== "" && value.length <= 256) return value;
    problems[name] = "one text of at most 256 characters";
    return null;
  };
  const wanted = TAIL_LEVELS.find((one) => one === level);
  if (level !== undefined && wanted === undefined) problems.level = `one of ${TAIL_LEVELS.join(", ")}`;
  const range = status === undefined ? null : statusRange(String(status));
  if (range === undefined) problems.status = "a status (404), a class (5xx) or a range (400-499)";
  const filter = {
    workspace: workspaceName(call),
    plugin: text("plugin", plugin),
    level: wanted ?? null,
    route: text("route", route),
    status: range ?? null,
  };
  if (Object.keys(problems).length > 0)
    throw numbered("invalidOptions", `invalid option (${Object.keys(problems).join(", ")})`, {
      options: problems,
    });
  return filter;
}

/** Undefined if it is none. */
function statusRange(text: string): readonly [number, number] | undefined {
  const [, only, hundreds, from, to] = /^(?:(\d{3})|([1-5])xx|(\d{3})-(\d{3}))$/.exec(text) ?? [];
  if (only !== undefined) return [Number(only), Number(only)];
  if (hundreds !== undefined) return [Number(hundreds) * 100, Number(hundreds) * 100 + 99];
  if (from === undefined || to === undefined || Number(from) > Number(to)) return undefined;
  return [Number(from), Number(to)];
}
