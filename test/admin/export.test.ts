/** The configuration in force as a document, made in pieces. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { exportConfig, exportPieces } from "../../src/admin/export.ts";
import { loadDeclarative } from "../../src/declarative/declarative.ts";
import { noConfig } from "../../src/declarative/empty-config.ts";
import { editsBetween } from "../../src/entities/change.ts";
import { EntityIndex } from "../../src/entities/entity-index.ts";

const PLUGINS = { find: () => ({ missing: "" }) };
const lines = "first\n\n  second: 'line'\n- third\n";

function indexOf(document: object): { index: EntityIndex; hash: string } {
  const loaded = loadDeclarative(JSON.stringify(document), { plugins: PLUGINS });
  assert.ok(loaded.ok, JSON.stringify(loaded));
  return { index: EntityIndex.empty.next(editsBetween(noConfig(), loaded.config)), hash: loaded.config.hash };
}

test("many entities are many pieces, which are one document together, other workspaces and texts of many lines included", () => {
  const services = (host: string) =>
    Array.from({ length: 250 }, (_, i) => ({ name: `s${i}`, host, tags: [`tag ${i}: #'"`, "true", "1e3"] }));
  const workspace = (name: string) => ({
    name,
    hosts: [`${name}.example`],
    comment: lines,
    services: services("203.0.113.1"),
    vaults: [],
  });
  const { index, hash } = indexOf({
    _format_version: "3.0",
    services: services("a.example"),
    vaults: [{ name: "env", prefix: "my-env", description: lines }],
    workspaces: [workspace("b"), workspace("a")],
  });
  const pieces = [...exportPieces(index)];
  assert.ok(pieces.length > 9, `${pieces.length} pieces`);
  const text = pieces.join("");
  const again = loadDeclarative(text, { plugins: PLUGINS });
  assert.ok(again.ok, JSON.stringify(again));
  assert.equal(again.config.hash, hash);
  const alone = loadDeclarative(exportConfig(index, { workspace: "a" }), { plugins: PLUGINS });
  assert.ok(alone.ok);
  assert.equal(alone.config.services.length, 250);
  assert.throws(() => exportPieces(index, { workspace: "nobody" }), { kind: "notFound" });
});
