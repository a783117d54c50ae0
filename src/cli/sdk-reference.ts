/**
 * The reference of the SDK, made from its sources: every declaration that a plugin may use, with what is written over it.
 *
 *     npm run docs:sdk      writes docs/sdk.md
 */
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const REFERENCE = fileURLToPath(new URL("../../docs/sdk.md", import.meta.url));
const SOURCES = new URL("../../sdk/src/", import.meta.url);

/** In the order of reading. What is left out (schemas as JSON, validation) is the gateway's side of the contract. */
const FILES: readonly (readonly [title: string, file: string])[] = [
  ["A plugin, its hooks, and what they see", "plugin.ts"],
  ["Answers", "reply.ts"],
  ["Refusals in the form that the client understands", "error-reply.ts"],
  ["Schemas of `config`", "schema.ts"],
  ["Texts and header values", "field-value.ts"],
  ["JSON of strangers", "json-depth.ts"],
  ["The web's classes: `@gatehouse/sdk/web`", "web/index.ts"],
];

const INTRODUCTION = `# The SDK

<!-- Made by \`npm run docs:sdk\` from sdk/src. -->

What a plugin in TypeScript may know. It is one module, \`@gatehouse/sdk\`, without dependencies; the same source runs natively
when the operator ships it, and in an isolate when a tenant uploads it. Plugins in other languages have layers of their own:
[AssemblyScript](../sdk/assemblyscript/README.md), [Go](../sdk/go/README.md), [Rust](../sdk/rust/README.md).

\`\`\`ts
import { definePlugin, record, reply, string } from "@gatehouse/sdk";

export default definePlugin({
  name: "guard",
  version: "1.0.0",
  priority: 900,
  schema: record({ header: string({ required: true, description: "Must be there." }) }),
  create(config) {
    const name = config.header.toLowerCase();
    const refusal = reply(400, { message: \`\${config.header} is missing\` });
    return {
      access(ctx) {
        return ctx.request.headers.has(name) ? undefined : refusal;
      },
    };
  },
});
\`\`\`

What of it a guest is granted stands in its manifest ([plugin-manifest.md](plugin-manifest.md), [host-calls.md](host-calls.md)).
An isolate is a bare JavaScript engine and not Node: beside the language there are \`TextEncoder\`, \`TextDecoder\`, \`atob\`,
\`btoa\` and \`queueMicrotask\`; \`URL\`, \`URLSearchParams\`, \`Headers\`, \`Request\` and \`Response\` come
from \`@gatehouse/sdk/web\`, and are bundled into the plugins that import them; no timers, no \`fetch\`, no \`process\`, no \`eval\`, no WebAssembly, and the intrinsics
are frozen. Examples: [plugins/examples](../plugins/examples/README.md).
`;

/** The page as Markdown. */
export function sdkReference(): string {
  const sections = FILES.map(([title, file]) => {
    const declarations = declarationsOf(readFileSync(new URL(file, SOURCES), "utf8"));
    return `## ${title}\n\n\`\`\`ts\n${declarations.join("\n\n")}\n\`\`\`\n`;
  });
  return [INTRODUCTION, ...sections].join("\n");
}

/** Exported declarations with the comment over them; of a function its signature alone. */
function declarationsOf(source: string): string[] {
  const found = source.matchAll(
    /^((?:\/\*\*(?:(?!\*\/)[\s\S])*\*\/\n)?)export (interface|type|function|const) /gm,
  );
  return [...found].map((match) => {
    const [whole, comment = "", kind] = match;
    const from = match.index + comment.length;
    const text = source.slice(from);
    return comment + (kind === "function" ? signature(text) : text.slice(0, endOf(text, whole)));
  });
}

/** An interface ends with its last bracket, everything else with the semicolon that stands in none. */
function endOf(text: string, declared: string): number {
  const isInterface = declared.endsWith("interface ");
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const sign = text[i] as string;
    if ("([{".includes(sign)) depth++;
    else if (")]}".includes(sign) && --depth === 0 && isInterface) return i + 1;
    else if (sign === ";" && depth === 0) return i + 1;
  }
  throw new Error(`a declaration without end: ${text.slice(0, 60)}`);
}

function signature(text: string): string {
  const body = / \{$/m.exec(text);
  return `${text.slice(0, body?.index ?? 0)};`;
}

if (import.meta.main) writeFileSync(REFERENCE, sdkReference());
