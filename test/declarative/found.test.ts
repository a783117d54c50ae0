/** What a fault says of what stands there: it is shown, unless it is a secret, with what was most likely meant. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { formatConfigErrors, loadDeclarative } from "../../src/declarative/declarative.ts";
import { createCatalogue } from "../../src/gateway/catalogue.ts";

const plugins = createCatalogue({ find: () => ({ missing: "" }), names: () => [] });

function faults(text: string): string[] {
  const loaded = loadDeclarative(`_format_version: "3.0"\n${text}`, { plugins, egress: null });
  return loaded.ok ? [] : formatConfigErrors(loaded.errors).split("\n");
}

for (const [title, text, expected] of [
  [
    "a number in quotes",
    'services: [{ name: a, host: a.example, port: "8000" }]',
    "service 'a' port: expected an integer, found \"8000\"; write it without quotes",
  ],
  [
    "a word of an older YAML",
    "services: [{ name: a, host: a.example, enabled: yes }]",
    "service 'a' enabled: expected a boolean, found \"yes\"; write true or false, without quotes",
  ],
  [
    "a name that is a number",
    "services: [{ name: 7, host: a.example }]",
    "service name: expected a string, found 7; write it in quotes",
  ],
  [
    "one of a few, with a slip",
    "upstreams: [{ name: u, algorithm: round-robbin }]",
    "did you mean 'round-robin'?",
  ],
  [
    "a list where a text belongs",
    "services: [{ name: a, host: [a.example] }]",
    "service 'a' host: expected a string, found a list",
  ],
  [
    "a date, which is text",
    "consumers: [{ username: 2020-01-01, custom_id: 1 }]",
    "found 1; write it in quotes",
  ],
] as const)
  test(`${title} is shown with what to write`, () => {
    const [line = ""] = faults(text);
    assert.ok(line.includes(expected), line);
  });

for (const [title, text] of [
  [
    "a credential's key",
    "consumers: [{ username: a, keyauth_credentials: [{ key: [hush] }, { key: 5551234 }] }]",
  ],
  [
    "a password",
    "consumers: [{ username: a, basicauth_credentials: [{ username: a, password: { a: hush } }] }]",
  ],
  ["a secret of a plugin's", "plugins: [{ name: session, config: { secret: [hush], storage: kookie } }]"],
] as const)
  test(`${title} is not shown`, () => {
    const lines = faults(text);
    assert.ok(lines.length > 0);
    assert.doesNotMatch(lines.join("\n"), /hush|5551234/);
  });
