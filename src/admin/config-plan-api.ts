/**
 * `/config/plan`, `/config/sync` and `/config/dump`, our own: what a declarative document would change in the
 * configuration in force, that change as one write, and the document that says what is in force. Under a workspace's
 * name they are about that workspace alone.
 */
import { type PlanRequest, planBody } from "../control/plan.ts";
import { schemaViolation } from "../control/refusal.ts";
import { type ConfigError, formatConfigErrors, toFields } from "../declarative/errors.ts";
import { numbered } from "./answers.ts";
import { checkDocumentType, documentAnswer, documentOf, MAX_CONFIG_BYTES } from "./config-api.ts";
import type { DocumentTurns } from "./document-turns.ts";
import type { AdminPort } from "./port.ts";
import type { Answer, Call, Route } from "./routes.ts";

/** Tags that one request selects by. */
const MAX_TAGS = 16;

export function configPlanRoutes(port: AdminPort, turns: DocumentTurns): Route[] {
  const plan = async (call: Call): Promise<Answer> => {
    const request = await requestOf(call, port.noTenants());
    const planned = await port.plan(request, turns.several(call));
    if (!planned.ok) throw invalid(planned.errors);
    return { status: 200, body: { configuration_hash: planned.hash, ...planBody(planned.plan) } };
  };
  const sync = async (call: Call): Promise<Answer> => {
    const request = await requestOf(call, port.noTenants());
    const expected = textOf(call, "configuration_hash");
    const done = await port.sync(request, expected, call.author, turns.several(call));
    if (!done.ok) throw invalid(done.errors);
    return {
      status: 200,
      body: { configuration_hash: port.hash(request.workspace), ...planBody(done.plan) },
    };
  };
  const dump = (call: Call): Answer => {
    const selection = selectionOf(call);
    return documentAnswer(port.entities(), selection, { configuration_hash: port.hash(selection.workspace) });
  };
  return ["", "/:workspace"].flatMap((prefix): Route[] => [
    {
      path: `${prefix}/config/plan`,
      maxBodyBytes: MAX_CONFIG_BYTES,
      before: (call, method) => method === "POST" && checkDocumentType(call),
      POST: plan,
    },
    {
      path: `${prefix}/config/sync`,
      maxBodyBytes: MAX_CONFIG_BYTES,
      before(call, method) {
        if (method !== "POST") return;
        if (port.store() === null) throw numbered("unsupported", READ_ONLY);
        checkDocumentType(call);
      },
      POST: sync,
    },
    { path: `${prefix}/config/dump`, GET: dump },
  ]);
}

const READ_ONLY =
  "cannot write to a configuration that comes from a file: change the file, or replace it with POST /config";

async function requestOf(call: Call, noTenants: string | null): Promise<PlanRequest> {
  const mode = textOf(call, "mode") ?? "sync";
  if (mode !== "sync" && mode !== "merge")
    throw schemaViolation([{ path: ["mode"], message: "expected one of: sync, merge" }]);
  return { ...selectionOf(call), removes: mode === "sync", noTenants, text: await documentOf(call) };
}

function selectionOf({ params, query }: Call): { workspace: string | null; tags: readonly string[] } {
  const given = query.select_tag;
  const tags = given === undefined ? [] : Array.isArray(given) ? given.map(String) : [String(given)];
  if (tags.length > MAX_TAGS || tags.includes("")) {
    const message = `expected up to ${MAX_TAGS} tags, none of them empty`;
    throw schemaViolation([{ path: ["select_tag"], message }]);
  }
  return { workspace: params.workspace ?? null, tags };
}

function textOf({ query }: Call, name: string): string | null {
  const value = query[name];
  return typeof value === "string" && value !== "" ? value : null;
}

/** Kong's error of a document, and beside it a list in which every error has its place. */
function invalid(errors: readonly ConfigError[]) {
  return numbered("invalidConfig", `declarative config is invalid: ${formatConfigErrors(errors)}`, {
    fields: toFields(errors),
    errors,
  });
}
