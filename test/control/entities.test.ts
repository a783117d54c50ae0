/** Every collection over HTTP, written and read by every verb, on a real gateway with a store. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { ENTITIES, ENTITY_NAMES, type EntityName, type EntityType } from "../../src/entities/entities.ts";
import { soundEntities } from "../entities/sound-entities.ts";
import type { Gateway } from "../support/gateway.ts";
import { type Call, startWritable } from "./gateway.ts";

const TYPES = ENTITY_NAMES.map((name) => ENTITIES[name]).filter(
  ({ isRelation, unavailable }) => !isRelation && !unavailable,
);

describe("every collection", () => {
  let gateway: Gateway & { call: Call };
  let sound: Record<EntityName, Record<string, unknown>>;
  /** Parents that all children of the tests hang under. */
  const parents = new Map<string, string>();

  before(async () => {
    [gateway, sound] = await Promise.all([startWritable(), soundEntities()]);
    for (const kind of [
      "consumers",
      "certificates",
      "services",
      "routes",
      "upstreams",
      "key_sets",
    ] as const) {
      const { status, json, text } = await gateway.call(
        "POST",
        `/${ENTITIES[kind].collection}`,
        numbered(ENTITIES[kind], 0),
      );
      assert.equal(status, 201, text);
      parents.set(kind, json.id);
    }
  });
  after(() => gateway?.[Symbol.asyncDispose]());

  /** The `n`th sound entity of a collection: none shares with another what may not be shared. */
  function numbered({ name, foreignKeys, uniqueFields, cacheKey, schema }: EntityType, n: number) {
    const own: Record<string, unknown> = { ...sound[name], tags: ["of-tests"] };
    for (const [field, kind] of Object.entries(foreignKeys)) {
      const isRequired = schema.fields?.[field]?.required === true;
      if (isRequired || (name === "plugins" && field === "service" && n > 0))
        own[field] = { id: parents.get(kind) };
    }
    for (const field of uniqueFields)
      if (typeof own[field] === "string" && field !== "cert_digest") own[field] = vary(own[field], n);
    for (const field of cacheKey ?? [])
      if (typeof own[field] === "string" && name !== "plugins") own[field] = vary(own[field], n);
    if (name === "keys") own.jwk = JSON.stringify({ kty: "oct", kid: own.kid, k: "c2VjcmV0" });
    return own;
  }

  const vary = (text: string, n: number) =>
    n === 0
      ? text
      : text.includes(":")
        ? text.replace(/\d+$/, String(8000 + n))
        : text.replace(/^[^.]*/, (first) => `${first}${n}`);

  for (const type of TYPES) {
    const path = `/${type.collection}`;
    test(`${path}: create, list, get, patch, put, delete`, async () => {
      const { call } = gateway;
      const created = await call("POST", path, numbered(type, 1));
      assert.equal(created.status, 201, created.text);
      const { id } = created.json;
      assert.equal(created.json.ws_id, undefined);
      const listed = await call("GET", `${path}?size=1000&tags=of-tests`);
      assert.ok(listed.json.data?.some((entity) => entity.id === id));
      const alone = await call("GET", `${path}/${id}`);
      assert.equal(alone.status, 200);
      if (type.name !== "consumer_groups") assert.deepEqual(alone.json, created.json);
      const patched = await call("PATCH", `${path}/${id}`, { tags: ["other"] });
      assert.deepEqual([patched.status, patched.json.tags], [200, ["other"]], patched.text);
      assert.deepEqual(without(patched.json), without(created.json));
      const put = await call("PUT", `${path}/${id}`, { ...numbered(type, 1), tags: null });
      assert.deepEqual([put.status, put.json.tags, put.json.id], [200, null, id], put.text);
      assert.equal(put.json.created_at, created.json.created_at);
      assert.equal((await call("DELETE", `${path}/${id}`)).status, 204);
      assert.deepEqual((await call("GET", `${path}/${id}`)).json, { message: "Not found" });
      assert.equal((await call("DELETE", `${path}/${id}`)).status, 204);
      assert.deepEqual((await call("PATCH", `${path}/${id}`, {})).json, { message: "Not found" });
    });

    if (type.uniqueFields.includes(type.endpointKey))
      test(`${path}: put by a name that nobody has makes one, and finds it by that name then`, async () => {
        const { call } = gateway;
        const { [type.endpointKey]: name, ...others } = numbered(type, 2);
        const key = String(name ?? `named-${type.name.replaceAll("_", "-")}`);
        const made = await call("PUT", `${path}/${encodeURIComponent(key)}`, others);
        assert.deepEqual([made.status, made.json[type.endpointKey]], [200, key], made.text);
        const again = await call("PUT", `${path}/${encodeURIComponent(key)}`, others);
        assert.deepEqual([again.status, again.json.id], [200, made.json.id], again.text);
        const twice = await call("POST", path, { ...others, [type.endpointKey]: key });
        assert.deepEqual(
          [twice.status, twice.json.code, twice.json.name],
          [409, 5, "unique constraint violation"],
        );
        assert.equal((await call("DELETE", `${path}/${encodeURIComponent(key)}`)).status, 204);
      });

    test(`${path}: what is unknown is named, and nothing is made`, async () => {
      const { call } = gateway;
      const count = async () => (await call("GET", `${path}?size=1000`)).json.data?.length;
      const had = await count();
      const { status, json } = await call("POST", path, { ...numbered(type, 3), no_such_field: 1 });
      assert.deepEqual(
        [status, json],
        [
          400,
          {
            code: 2,
            name: "schema violation",
            message: "schema violation (no_such_field: unknown field)",
            fields: { no_such_field: "unknown field" },
          },
        ],
      );
      assert.equal(await count(), had);
    });

    for (const [field, kind] of Object.entries(type.foreignKeys)) {
      const parent = ENTITIES[kind as EntityName];
      if (!["consumers", "certificates", "services", "routes", "upstreams", "key_sets"].includes(parent.name))
        continue;
      const under = () => `/${parent.collection}/${parents.get(parent.name)}/${type.nestedCollection}`;
      if (type.name === "plugins" && field === "consumer") continue;
      // Not served yet, so refused.
      if (type.name === "upstreams") continue;

      test(`/${parent.collection}/{id}/${type.nestedCollection}: written and read under its ${field}`, async () => {
        const { call } = gateway;
        const { [field]: _, ...fields } = numbered(type, 4);
        if (type.name === "plugins") fields.service = undefined;
        if (type.name === "services") fields.protocol = "https";
        const created = await call("POST", under(), fields);
        assert.equal(created.status, 201, created.text);
        const { id } = created.json;
        assert.deepEqual(created.json[field], { id: parents.get(parent.name) });
        assert.ok((await call("GET", under())).json.data?.some((entity) => entity.id === id));
        assert.equal((await call("GET", `${under()}/${id}`)).status, 200);
        assert.equal((await call("PATCH", `${under()}/${id}`, { tags: ["t"] })).status, 200);
        assert.equal((await call("PUT", `${under()}/${id}`, fields)).status, 200);
        const owner = await call("GET", `/${type.collection}/${id}/${field}`);
        assert.equal(owner.json.id, parents.get(parent.name));
        const touched = await call("PATCH", `/${type.collection}/${id}/${field}`, { tags: ["touched"] });
        assert.deepEqual([touched.status, touched.json.tags], [200, ["touched"]], touched.text);
        assert.equal((await call("DELETE", `/${type.collection}/${id}/${field}`)).status, 405);
        assert.equal((await call("DELETE", `${under()}/${id}`)).status, 204);
        assert.equal((await call("DELETE", `${under()}/${id}`)).status, 404);
      });
    }
  }
});

/** What a change of tags leaves alone. */
function without({ tags: _, updated_at: __, ...others }: Readonly<Record<string, unknown>>) {
  return others;
}
