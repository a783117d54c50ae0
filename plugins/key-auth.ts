/**
 * key-auth: who calls is known by a key in a header, in the query or in the body.
 * A key belongs to a consumer; once it is found, the consumer's own plugins apply and the upstream learns who
 * it is from X-Consumer-* headers, which a client cannot forge.
 */
import {
  array,
  boolean,
  type Consumer,
  type Context,
  type Credential,
  definePlugin,
  errorReply,
  fieldValue,
  type HookResult,
  record,
  string,
} from "@gatehouse/sdk";
import { jsonMembers, mediaType } from "./bodies.ts";
import { bytesToLatin1, Fields, fieldValues, latin1ToBytes } from "./urlencoded.ts";

const schema = record({
  key_names: array(string({ match: "^[A-Za-z0-9!#$%&'*+.^_|~-]+$" }), {
    required: true,
    default: ["apikey"],
    lenMin: 1,
    description: "Names under which the key is looked for, in this order.",
  }),
  hide_credentials: boolean({
    required: true,
    default: false,
    description: "Remove the key from the request before it goes upstream.",
  }),
  anonymous: string({
    description:
      "Id or username of the consumer that a request without a valid key gets, in place of a 401. " +
      "With it, a request that another plugin has authenticated already is let through.",
  }),
  key_in_header: boolean({ required: true, default: true, description: "Look in the request headers." }),
  key_in_query: boolean({ required: true, default: true, description: "Look in the query string." }),
  key_in_body: boolean({
    required: true,
    default: false,
    description: "Look in JSON and urlencoded bodies (buffers them). Multipart bodies are not searched yet.",
  }),
  run_on_preflight: boolean({
    required: true,
    default: true,
    description: "Whether OPTIONS requests need a key too.",
  }),
  realm: string({
    match: "^[\\x20-\\x7e]+$",
    description: 'Sent with a 401: `WWW-Authenticate: Key realm="..."`.',
  }),
});

/** What looking for a key found: a key, several under one name, or nothing. */
type Found = { readonly key: string; readonly name: string; readonly place: Place };
type Place = "header" | "query" | "body";
const DUPLICATE = Symbol("duplicate");

export default definePlugin({
  name: "key-auth",
  version: "1.0.0",
  priority: 1250,
  schema,
  forbids: ["consumer"],
  credentials: ({ key_names }) => key_names,
  create(config, host) {
    const names = config.key_names.map((name) => ({ name, lower: name.toLowerCase() }));
    const challenge = {
      "WWW-Authenticate": config.realm === null ? "Key" : `Key realm="${quoted(config.realm)}"`,
    };

    /** The first place in which one of the names has a value. */
    function find(ctx: Context, body: RequestBody | null): Found | typeof DUPLICATE | undefined {
      const { headers, query } = ctx.request;
      for (const { name, lower } of names) {
        if (config.key_in_header) {
          const key = headers.get(lower);
          if (key !== undefined) {
            if (headers.getAll(lower).length > 1) return DUPLICATE;
            return { key, name, place: "header" };
          }
        }
        if (config.key_in_query && query !== "") {
          const values = fieldValues(query, name);
          if (values.length > 1) return DUPLICATE;
          if (values[0] !== undefined) return { key: values[0], name, place: "query" };
        }
        if (body !== null) {
          const values = body.values(name);
          if (values.length > 1) return DUPLICATE;
          if (values[0] !== undefined) return { key: values[0], name, place: "body" };
        }
      }
      return undefined;
    }

    function check(ctx: Context, body: RequestBody | null): HookResult {
      const found = find(ctx, body);
      if (found === DUPLICATE) return refuse(ctx, "Duplicate API key found");
      if (found === undefined || found.key === "") return refuse(ctx, "No API key found in request");
      if (config.hide_credentials) hide(ctx, found, body);
      const credential = host.findCredential("key-auth", found.key);
      if (credential instanceof Promise) return credential.then((known) => admit(ctx, known));
      return admit(ctx, credential);
    }

    function admit(ctx: Context, credential: Credential | null): HookResult {
      if (credential === null) return refuse(ctx, "Unauthorized");
      ctx.authenticate(credential.consumer, credential);
      tellUpstream(ctx, credential.consumer);
      const { headers } = ctx.request;
      headers.set("X-Credential-Identifier", credential.id);
      headers.remove("x-anonymous-consumer");
    }

    function refuse(ctx: Context, message: string): HookResult {
      const { anonymous } = config;
      if (anonymous === null) return errorReply(ctx.request, 401, message, challenge);
      const consumer = host.findConsumer(anonymous);
      if (consumer instanceof Promise) return consumer.then((known) => admitAnonymous(ctx, known));
      return admitAnonymous(ctx, consumer);
    }

    function admitAnonymous(ctx: Context, consumer: Consumer | null): HookResult {
      if (consumer === null) {
        const problem = `anonymous consumer ${config.anonymous} is configured but doesn't exist`;
        host.log("error", problem);
        return errorReply(ctx.request, 500, problem);
      }
      ctx.authenticate(consumer, null);
      tellUpstream(ctx, consumer);
      const { headers } = ctx.request;
      headers.remove("x-credential-identifier");
      headers.set("X-Anonymous-Consumer", "true");
    }

    return {
      access(ctx) {
        if (!config.run_on_preflight && ctx.request.method === "OPTIONS") return;
        if (config.anonymous !== null && ctx.credential !== null) return;
        if (!config.key_in_body) return check(ctx, null);
        const bytes = ctx.request.readBody();
        if (bytes instanceof Promise) return bytes.then((read) => check(ctx, bodyOf(ctx, read)));
        return check(ctx, bodyOf(ctx, bytes));
      },
    };
  },
});

/** Text inside a quoted-string (RFC 9110 section 5.6.4). */
function quoted(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"');
}

/** Sets what the upstream may believe, and clears what the client may have sent in its place. */
function tellUpstream(ctx: Context, consumer: Consumer): void {
  const { headers } = ctx.request;
  headers.set("X-Consumer-ID", consumer.id);
  if (consumer.custom_id === null) headers.remove("x-consumer-custom-id");
  else headers.set("X-Consumer-Custom-ID", fieldValue(consumer.custom_id));
  if (consumer.username === null) headers.remove("x-consumer-username");
  else headers.set("X-Consumer-Username", fieldValue(consumer.username));
}

function hide(ctx: Context, found: Found, body: RequestBody | null): void {
  const { request } = ctx;
  switch (found.place) {
    case "header":
      request.headers.remove(found.name.toLowerCase());
      break;
    case "query": {
      const fields = new Fields(request.query);
      fields.remove(found.name);
      request.query = fields.toString();
      break;
    }
    case "body":
      request.setBody((body as RequestBody).without(found.name));
  }
}

/** A body in which a key can be looked for. */
interface RequestBody {
  values(name: string): readonly string[];
  without(name: string): Uint8Array;
}

function bodyOf(ctx: Context, bytes: Uint8Array | null): RequestBody | null {
  if (bytes === null || bytes.length === 0) return null;
  const type = mediaType(ctx.request.headers.get("content-type"));
  if (type === "urlencoded") {
    const text = bytesToLatin1(bytes);
    return {
      values: (name) => fieldValues(text, name),
      without(name) {
        const fields = new Fields(text);
        fields.remove(name);
        return latin1ToBytes(fields.toString());
      },
    };
  }
  const members = type === "json" ? jsonMembers(bytes) : null;
  if (members === null) return null;
  return {
    values(name) {
      const value = members.get(name);
      if (Array.isArray(value)) return value.filter((element) => typeof element === "string");
      return typeof value === "string" ? [value] : [];
    },
    without(name) {
      members.remove(name);
      return members.toBytes();
    },
  };
}
