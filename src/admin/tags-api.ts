/** `/tags` and `/tags/{tag}`: which entities of a workspace carry which tags. */
import { ENTITIES, ENTITY_NAMES } from "../entities/entities.ts";
import { workspaceId } from "./entity-view.ts";
import { pageOf } from "./page.ts";
import type { AdminPort } from "./port.ts";
import type { Answer, Call, Route } from "./routes.ts";

interface Tagged {
  /** Of the line, for pages. */
  readonly id: string;
  readonly entity_name: string;
  readonly entity_id: string;
  readonly tag: string;
}

export function tagRoutes(port: AdminPort): Route[] {
  return ["", "/:workspace"].flatMap((prefix): Route[] => [
    { path: `${prefix}/tags`, GET: (call) => page(port, call, null) },
    { path: `${prefix}/tags/:tag`, GET: (call) => page(port, call, call.params.tag ?? "") },
  ]);
}

function page(port: AdminPort, call: Call, wanted: string | null): Answer {
  const lines = [...tagged(port, workspaceId(port, call), wanted)];
  const { data, ...rest } = pageOf(lines, call.query, call.path);
  return { status: 200, body: { ...rest, data: data.map(({ id: _, ...line }) => line) } };
}

const KINDS = ENTITY_NAMES.filter((kind) => !ENTITIES[kind].isRelation).sort();
/** Digits of a number of a tag, so that lines are in the order of their ids. */
const DIGITS = 8;

function* tagged(port: AdminPort, workspace: string, wanted: string | null): Generator<Tagged> {
  const index = port.entities();
  for (const kind of KINDS) {
    for (const { id, tags } of index.list(kind, workspace))
      for (const [i, tag] of (tags ?? []).entries())
        if (wanted === null || tag === wanted)
          yield {
            id: `${kind}/${id}/${String(i).padStart(DIGITS, "0")}`,
            entity_name: kind,
            entity_id: id,
            tag,
          };
  }
}
