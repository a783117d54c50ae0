/** Over every collection: ids, names, tags, pages, paths and references of one workspace are nothing in another. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { ENTITIES, ENTITY_NAMES, type EntityName, type EntityType } from "../../src/entities/entities.ts";
import { type Call, startWritable } from "../control/gateway.ts";
import { soundEntities } from "../entities/sound-entities.ts";
import type { Gateway } from "../support/gateway.ts";

const TYPES = ENTITY_NAMES.map((name) => ENTITIES[name]).filter(
  ({ name, isRelation, unavailable, operatorOnly }) =>
    name !== "workspaces" && !isRelation && !unavailable && !operatorOnly,
);
const OTHERS = TYPES.map(({ name }) => name);

describe("two workspaces", () => {
  let gateway: Gateway & { call: Call };
  let call: Call;
  let sound: Record<EntityName, Record<string, unknown>>;
  /** Ids by workspace and collection. */
  const ids = { left: new Map<EntityName, string>(), right: new Map<EntityName, string>() };
  type Side = keyof typeof ids;

  function body(type: EntityType, side: Side): Record<string, unknown> {
    const own: Record<string, unknown> = { ...sound[type.name], tags: [`of-${side}`] };
    for (const [field, kind] of Object.entries(type.foreignKeys)) {
      const parent = ids[side].get(kind as EntityName);
      if (type.schema.fields?.[field]?.required === true) own[field] = { id: parent };
    }
    // Names of hosts are somebody's own.
    if (type.name === "routes") own.hosts = [`${side}.example`];
    if (type.name === "snis") own.name = `${side}.example`;
    // Else one that is replaced is new without it.
    if (type.name === "consumer_groups" || type.name === "key_sets") own.name = "same";
    return own;
  }

  before(async () => {
    [gateway, sound] = await Promise.all([startWritable(), soundEntities()]);
    ({ call } = gateway);
    for (const side of ["left", "right"] as const) {
      const made = await call("POST", "/workspaces", {
        name: side,
        hosts: [`${side}.example`, `*.${side}.example`],
      });
      assert.equal(made.status, 201, made.text);
    }
    // The same names, keys and usernames in both: that they can be there at all is part of the test.
    for (const side of ["left", "right"] as const)
      for (const type of TYPES) {
        const made = await call("POST", `/${side}/${type.collection}`, body(type, side));
        assert.equal(made.status, 201, `${type.name} of ${side}: ${made.text}`);
        ids[side].set(type.name, made.json.id);
      }
  });
  after(() => gateway?.[Symbol.asyncDispose]());

  const left = (kind: EntityName) => ids.left.get(kind) as string;
  const NOT_FOUND = { message: "Not found" };

  test("of a name of a certificate a workspace is told that it does not own it, and not whether another one has it", async () => {
    const certificate = { ...sound.certificates, tags: null };
    for (const name of ["left.example", "nobody.example"]) {
      const fault = `host '${name}' is not owned by workspace 'right'`;
      const sni = await call("POST", "/right/snis", {
        name,
        certificate: { id: ids.right.get("certificates") },
      });
      assert.deepEqual([sni.status, sni.json.fields], [400, { name: fault }], sni.text);
      const made = await call("POST", "/right/certificates", { ...certificate, snis: [name] });
      assert.equal(made.status, 400);
      assert.deepEqual(made.json.fields, { snis: [fault] });
      const document = { _format_version: "3.0", certificates: [{ ...certificate, snis: [{ name }] }] };
      const planned = await call("POST", "/right/config/plan?mode=merge", document);
      assert.equal(planned.status, 400);
      const told = (planned.json.errors as { message: string }[]).map(({ message }) => message);
      assert.deepEqual(told, [fault]);
    }
  });

  for (const type of TYPES) {
    const path = `/right/${type.collection}`;

    test(`${type.collection}: an id of another workspace is found, changed and removed by no verb`, async () => {
      const id = left(type.name);
      const original = (await call("GET", `/left/${type.collection}/${id}`)).json;
      assert.equal(original.consumer_group === undefined ? original.id : id, id);
      for (const [verb, sent] of [
        ["GET", undefined],
        ["PATCH", { tags: ["taken"] }],
      ] as const) {
        const { status, json } = await call(verb, `${path}/${id}`, sent);
        assert.deepEqual([status, json], [404, NOT_FOUND], verb);
      }
      assert.equal((await call("DELETE", `${path}/${id}`)).status, 204);
      for (const claimed of [
        await call("PUT", `${path}/${id}`, body(type, "right")),
        await call("POST", path, { ...body(type, "right"), id }),
      ]) {
        assert.equal(claimed.status, 400, claimed.text);
        assert.deepEqual(
          [claimed.json.code, claimed.json.name, claimed.json.fields],
          [3, "primary key violation", { id }],
          claimed.text,
        );
      }
      assert.deepEqual(
        (await call("GET", `/left/${type.collection}/${id}`)).json,
        original,
        "it is as it was",
      );
    });

    test(`${type.collection}: lists, pages and tags hold a workspace's own`, async () => {
      const mine = ids.right.get(type.name);
      const all = await call("GET", `${path}?size=1000`);
      assert.ok(all.json.data?.some(({ id }) => id === mine));
      assert.ok(all.json.data?.every(({ id }) => id !== left(type.name)));
      assert.deepEqual((await call("GET", `${path}?tags=of-left`)).json.data, []);
      // The mark of a page of another workspace leads through one's own list at most.
      const seen: unknown[] = [];
      for (const offset of [null, offsetAt("0".repeat(8)), offsetAt(left(type.name))]) {
        const query = offset === null ? "size=1" : `size=1&offset=${encodeURIComponent(offset)}`;
        const page = await call("GET", `${path}?${query}`);
        if (page.status === 200) seen.push(...(page.json.data ?? []).map(({ id }) => id));
        else assert.equal(page.status, 400);
      }
      assert.ok(!seen.includes(left(type.name)));
    });

    if (type.uniqueFields.includes(type.endpointKey))
      test(`${type.collection}: a name that both have is each one's own`, async () => {
        const key = String(body(type, "right")[type.endpointKey] ?? "");
        if (key === "") return;
        const found = await call("GET", `${path}/${encodeURIComponent(key)}`);
        const { id } = (found.json.consumer_group ?? found.json) as { id: string };
        assert.equal(id, ids.right.get(type.name));
        const theirs = await call("GET", `/right/${type.collection}/left.example`);
        assert.deepEqual([theirs.status, theirs.json], [404, NOT_FOUND]);
      });

    for (const [field, reference] of Object.entries(type.foreignKeys) as [string, EntityName][]) {
      if (!OTHERS.includes(reference)) continue;

      // No entity of these can name one here: what they say of it comes before.
      const isClosed = field === "client_certificate" || (type.name === "plugins" && field === "consumer");

      test(`${type.collection}: '${field}' cannot point to another workspace, and is told no more than of an id that nobody has`, async () => {
        const answer = async (id: string) => {
          const fresh = { ...body(type, "right"), [field]: { id } };
          for (const unique of type.uniqueFields)
            if (typeof fresh[unique] === "string")
              fresh[unique] = type.name === "snis" ? "sub.right.example" : "fresh";
          const { status, text } = await call("POST", path, fresh);
          assert.equal(status, 400, text);
          return text.replaceAll(id, "ID");
        };
        const theirs = await answer(left(reference));
        assert.equal(theirs, await answer(randomUUID()));
        assert.match(theirs, isClosed ? /schema violation/ : /foreign key violation/);
      });

      test(`${type.collection}: nothing is reached through '${field}' of another workspace`, async () => {
        const parent = ENTITIES[reference];
        const nested = `/right/${parent.collection}/${left(reference)}/${type.nestedCollection}`;
        const { [field]: _, ...sent } = body(type, "right");
        for (const [verb, url, what] of [
          ["GET", nested, undefined],
          ["POST", nested, sent],
          ["GET", `${nested}/${left(type.name)}`, undefined],
          ["PUT", `${nested}/${left(type.name)}`, sent],
          ["PATCH", `${nested}/${left(type.name)}`, sent],
          ["DELETE", `${nested}/${left(type.name)}`, undefined],
          ["GET", `${path}/${left(type.name)}/${field}`, undefined],
          ["PUT", `${path}/${left(type.name)}/${field}`, {}],
          ["PATCH", `${path}/${left(type.name)}/${field}`, {}],
        ] as const) {
          const { status, json } = await call(verb, url, what);
          assert.deepEqual([status, json], [404, NOT_FOUND], `${verb} ${url}`);
        }
      });
    }
  }

  test("tags of one workspace are none of another's, and the operator's own see neither", async () => {
    for (const [workspace, tag] of [
      ["/right", "of-left"],
      ["", "of-left"],
      ["", "of-right"],
    ] as const) {
      assert.deepEqual((await call("GET", `${workspace}/tags/${tag}`)).json.data, []);
      const all = await call("GET", `${workspace}/tags?size=1000`);
      assert.ok(all.json.data?.every((one) => one.tag !== tag));
    }
    assert.ok(((await call("GET", "/left/tags/of-left")).json.data?.length ?? 0) >= TYPES.length);
  });

  test("a workspace that is not there answers as a path that is not there", async () => {
    for (const type of TYPES) {
      const { status, json } = await call("GET", `/nobody/${type.collection}`);
      assert.deepEqual([status, json], [404, NOT_FOUND]);
    }
  });
});

/** As pages mark where the next begins. */
const offsetAt = (id: string) => Buffer.from(id).toString("base64");
