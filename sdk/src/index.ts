/** @gatehouse/sdk: everything that a plugin may know. Free of dependencies and of `node:` imports. */
export * from "./error-reply.ts";
export * from "./field-value.ts";
export * from "./held-context.ts";
export * from "./json-depth.ts";
export * from "./plugin.ts";
export * from "./recording.ts";
export * from "./reply.ts";
export * from "./schema.ts";
export * from "./schema-json.ts";
export * from "./validate.ts";
