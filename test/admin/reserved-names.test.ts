/** Workspaces are asked for under their names, so none may be called like what the Admin API has at its top. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { adminRoutes } from "../../src/admin/admin.ts";
import { loadDeclarative } from "../../src/declarative/declarative.ts";
import { reservedNameFault } from "../../src/entities/reserved-names.ts";
import { startWritable } from "../control/gateway.ts";

test("every first segment of a path of the Admin API is reserved, and ordinary names are not", () => {
  const routes = adminRoutes({ port: {}, registry: {}, unfencedUploads: [], version: "0" } as never);
  const first = new Set(routes.map(({ path }) => path.split("/")[1] ?? ""));
  const open = [...first].filter(
    (name) => name !== "" && !name.startsWith(":") && reservedNameFault(name) === null,
  );
  assert.deepEqual(open, []);
  assert.equal(reservedNameFault("acme"), null);
});

test("a workspace of a reserved name is refused by a file, a document and the Admin API, with the field", async () => {
  await using gateway = await startWritable();
  const made = await gateway.call("POST", "/workspaces", { name: "services" });
  assert.equal(made.status, 400);
  assert.match(String(made.json.fields?.name), /'services' is a path of the Admin API/);
  assert.equal((await gateway.call("PUT", "/workspaces/tags", {})).status, 400);
  const document = { _format_version: "3.0", workspaces: [{ name: "plugins" }] };
  const planned = await gateway.call("POST", "/config/plan", document);
  assert.match(
    String(planned.json.message),
    /workspace 'plugins' name: 'plugins' is a path of the Admin API/,
  );
  const loaded = loadDeclarative(JSON.stringify(document), { plugins: { find: () => ({ missing: "" }) } });
  assert.ok(!loaded.ok);
});
