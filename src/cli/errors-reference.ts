/**
 * The page of all errors, made from the tables that the gateway answers by:
 *
 *     npm run docs:errors      writes docs/errors.md
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { NUMBERED } from "../admin/answers.ts";
import { ERRORS, type ErrorCode } from "../errors.ts";
import { FAILED } from "../pipeline/run.ts";
import { FAILURES, type Failure } from "../sandbox/protocol/engine.ts";
import { markdownTable } from "./markdown-table.ts";

export const REFERENCE = fileURLToPath(new URL("../../docs/errors.md", import.meta.url));

const INTRODUCTION = `# Errors

<!-- Made by \`npm run docs:errors\` from src/errors.ts, src/sandbox/protocol/engine.ts and src/admin/answers.ts. -->

## What clients are answered

Every answer that the gateway makes in place of an upstream's has a message, in Kong's words, and the request's id, by
which the log has the rest. \`code\` is what the log calls it; nothing else about the cause leaves the gateway. A refusal of
a plugin (401, 403, 429 …) is none of these: it is the plugin's own answer.
`;

const PLUGINS = `## When a plugin fails

A call of a guest that fails ends as its manifest says: with \`fail: closed\` the request is answered as below, with
\`fail: open\` it goes on as if the plugin were not there. Log (\`kind\`), \`GET /plugin-usage\` and the metric
\`gatehouse_plugin_failures_total\` name the kind. What can be moved, and how far, stands in [limits.md](limits.md).
`;

const ADMIN = `## What the Admin API answers

Errors with a number have \`{"code", "name", "message"}\`, Kong's, and where fields are wrong \`fields\` with every one of
them. Without a number: 401 (no sound token), 403 (a token that may not), 404, 409 (the entity has moved on since it was
read), 413, 415, 429 with Retry-After (too much at once), 503 with Retry-After (the store cannot be reached).
`;

const ABOUT: Readonly<Record<Failure, readonly [what: string, remedy: string]>> = {
  fuel: ["a WebAssembly guest did more than it has fuel for", "less work, or more `fuel` from the operator"],
  timeout: ["a JavaScript guest took more CPU time than it has", "less work, or more `cpu_ms`"],
  deadline: [
    "a call was not back in time, and its cordon was killed",
    "bound what is waited for; `wall_ms` is for each turn",
  ],
  memory: ["guest or cordon went beyond its memory", "smaller bodies, less kept; `memory_bytes`"],
  trap: ["WebAssembly trapped: an assertion, an index, unreachable code", "the log has the trap's words"],
  throw: ["the guest threw, or said that it failed", "the log has its message"],
  violation: [
    "what it answered its contract does not allow: a header, a status, a size, a host call without its grant, a body beyond the grant",
    "the log says which rule",
  ],
  load: ["it could not be started or configured, as when `create` throws", "the log has the reason"],
  crashed: ["its cordon ended by itself", "the operator's: see the log of the gateway"],
  suspended: ["it failed too often and is held back for a while", "wait, and mend what failed"],
  unavailable: ["no cordon could be had", "the operator's: `cordons_max`, memory, the fence"],
  busy: ["as many of its calls are open as it may have", "fewer waits; `concurrent_calls`"],
  budget: ["the workspace's plugins have used their CPU time", "wait (Retry-After); `cpu_ms_per_second`"],
};

/** The page as Markdown. */
export function errorsReference(): string {
  const answers = Object.entries(ERRORS).map(([code, kind]) => {
    const { status, source, message } = kind;
    const again = "retry" in kind ? "another target is tried" : "";
    return [`\`${code}\``, String(status), source, message, again];
  });
  const failures = FAILURES.map((failure) => {
    const { status } = ERRORS[FAILED[failure] ?? ("plugin_failed" satisfies ErrorCode)];
    return [`\`${failure}\``, ...ABOUT[failure].slice(0, 1), String(status), ...ABOUT[failure].slice(1)];
  });
  const numbered = Object.values(NUMBERED).map(([code, name, status]) => [
    String(code),
    name,
    String(status),
  ]);
  return [
    INTRODUCTION,
    markdownTable(["code", "status", "where the fault lies", "message", ""], answers),
    PLUGINS,
    markdownTable(["kind", "what happened", "fail: closed", "what helps"], failures),
    ADMIN,
    markdownTable(["code", "name", "status"], numbered),
  ].join("\n");
}

if (import.meta.main) writeFileSync(REFERENCE, errorsReference());
