/**
 * response-transformer: removes, renames, replaces, adds and appends response headers, and top-level members
 * of JSON bodies. Only body edits make the gateway buffer responses.
 */
import {
  array,
  type Context,
  definePlugin,
  type Field,
  fieldValue,
  type Hooks,
  record,
  string,
} from "@gatehouse/sdk";
import { jsonMembers, mediaType } from "./bodies.ts";
import {
  applyEdits,
  editHeaders,
  edits,
  type HeaderEdits,
  headerEdits,
  headerNames,
  headerPairs,
  headerRenames,
  names,
  pairs,
} from "./edits.ts";

const JSON_TYPES = ["boolean", "number", "string"] as const;
type JsonType = (typeof JSON_TYPES)[number];

function jsonTypes(): Field<readonly JsonType[], true> {
  return array(string({ oneOf: JSON_TYPES }), {
    default: [],
    description: "Types of the values of `json`, in the same order; string where none is given.",
  });
}

const schema = record({
  remove: record(
    {
      json: names("Members to remove from a JSON body."),
      headers: headerNames("Headers to remove."),
    },
    { required: true },
  ),
  rename: record(
    {
      json: pairs({ description: "`old:new` names of members." }),
      headers: headerRenames("`old:new` names of headers."),
    },
    { required: true },
  ),
  replace: record(
    {
      json: pairs({ description: "`name:value` of members that are there." }),
      json_types: jsonTypes(),
      headers: headerPairs({ description: "`name:value` of headers that are there." }),
    },
    { required: true },
  ),
  add: record(
    {
      json: pairs({ description: "`name:value` of members that are not there." }),
      json_types: jsonTypes(),
      headers: headerPairs({ description: "`name:value` of headers that are not there." }),
    },
    { required: true },
  ),
  append: record(
    {
      json: pairs({ description: "`name:value` to add to a member's values." }),
      json_types: jsonTypes(),
      headers: headerPairs({ description: "`name:value` of headers to add beside those that are there." }),
    },
    { required: true },
  ),
});

export default definePlugin({
  name: "response-transformer",
  version: "1.0.0",
  priority: 800,
  schema,
  create(config): Hooks {
    const place = (name: "headers" | "json") => ({
      remove: config.remove[name],
      rename: config.rename[name],
      replace: config.replace[name],
      add: config.add[name],
      append: config.append[name],
    });
    const headers = headerEdits(place("headers"), fieldValue);
    const json = edits(place("json"), (value, kind, i) =>
      cast(value, config[kind].json_types[i] ?? "string"),
    );

    if (json === undefined) {
      if (headers === undefined) return {};
      return { headerFilter: (ctx) => transformHeaders(headers, ctx) };
    }
    return {
      response(ctx) {
        if (headers !== undefined) transformHeaders(headers, ctx);
        const { response } = ctx;
        if (response.body === null || mediaType(response.headers.get("content-type")) !== "json") return;
        // What is not a JSON object (or is compressed) goes on as it came.
        const members = jsonMembers(response.body);
        if (members === null) return;
        applyEdits(json, members, itself, undefined);
        response.setBody(members.toBytes());
      },
    };
  },
});

function itself<T>(value: T): T {
  return value;
}

function transformHeaders(edits: HeaderEdits<string>, ctx: Context): void {
  editHeaders(edits, ctx.response.headers, itself, undefined);
}

/** A configured text as a JSON value; a number that cannot be read is null. */
function cast(text: string, type: JsonType): string | number | boolean | null {
  if (type === "boolean") return text.trim().toLowerCase() === "true";
  if (type === "string") return text;
  const number = text.trim() === "" ? Number.NaN : Number(text);
  return Number.isFinite(number) ? number : null;
}
