/**
 * Random writes against a plain model: maps of entities with the few rules that matter, written down a second time and
 * as simply as can be. The gateway and the model agree on every answer, and in the end on everything that is there.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import fc from "fast-check";
import type { Gateway } from "../support/gateway.ts";
import { type Call, startWritable } from "./gateway.ts";

const RUNS = 8;
const OPERATIONS = 40;

const NAMES = ["a", "b", "c"] as const;
type Kind = "services" | "routes" | "consumers" | "key-auths" | "plugins";
type Name = (typeof NAMES)[number];

/** Which field names an entity of a collection. */
const KEYS = {
  services: "name",
  routes: "name",
  consumers: "username",
  "key-auths": "key",
  plugins: "instance_name",
};
const PARENT: Partial<Record<Kind, readonly [field: string, kind: Kind]>> = {
  routes: ["service", "services"],
  "key-auths": ["consumer", "consumers"],
  plugins: ["service", "services"],
};

interface Operation {
  readonly verb: "POST" | "PUT" | "PATCH" | "DELETE";
  readonly kind: Kind;
  readonly name: Name;
  /** What it points to. */
  readonly parent: Name;
  readonly tag: string;
}

interface Kept {
  readonly parent: Name | null;
  readonly tag: string;
}

class Model {
  readonly kept: Record<Kind, Map<Name, Kept>> = {
    services: new Map(),
    routes: new Map(),
    consumers: new Map(),
    "key-auths": new Map(),
    plugins: new Map(),
  };

  /** The status that an operation is answered with. */
  apply({ verb, kind, name, parent, tag }: Operation): number {
    const own = this.kept[kind];
    const known = own.get(name);
    if (verb === "DELETE") return this.#remove(kind, name);
    if (verb === "PATCH") {
      if (known === undefined) return 404;
      own.set(name, { ...known, tag });
      return 200;
    }
    const [, above] = PARENT[kind] ?? [];
    if (above !== undefined && !this.kept[above].has(parent)) return 400;
    if (verb === "POST" && known !== undefined) return 409;
    // All plugins of the model are of one kind: one for each service.
    const isTaken = [...own].some(([other, kept]) => other !== name && kept.parent === parent);
    if (kind === "plugins" && isTaken) return 409;
    own.set(name, { parent: above === undefined ? null : parent, tag });
    return verb === "POST" ? 201 : 200;
  }

  #remove(kind: Kind, name: Name): number {
    const children = (child: Kind) => [...this.kept[child]].filter(([, { parent }]) => parent === name);
    if (kind === "services" && this.kept.services.has(name)) {
      if (children("routes").length > 0) return 400;
      for (const [plugin] of children("plugins")) this.kept.plugins.delete(plugin);
    }
    if (kind === "consumers") for (const [key] of children("key-auths")) this.kept["key-auths"].delete(key);
    this.kept[kind].delete(name);
    return 204;
  }
}

const operation: fc.Arbitrary<Operation> = fc.record({
  verb: fc.constantFrom("POST", "PUT", "PUT", "PATCH", "DELETE"),
  kind: fc.constantFrom<Kind>("services", "routes", "consumers", "key-auths", "plugins"),
  name: fc.constantFrom(...NAMES),
  parent: fc.constantFrom(...NAMES),
  tag: fc.constantFrom("red", "green"),
});

describe("random writes", () => {
  let gateway: Gateway & { call: Call };

  before(async () => {
    gateway = await startWritable();
  });
  after(() => gateway?.[Symbol.asyncDispose]());

  function bodyOf({ verb, kind, name, parent, tag }: Operation): object | undefined {
    if (verb === "DELETE") return undefined;
    if (verb === "PATCH") return { tags: [tag] };
    const [field, above] = PARENT[kind] ?? [];
    const own: Record<Kind, object> = {
      services: { host: "h" },
      routes: { paths: ["/"] },
      consumers: {},
      "key-auths": {},
      plugins: { name: "cors" },
    };
    return {
      ...own[kind],
      [KEYS[kind]]: name,
      tags: [tag],
      ...(field === undefined || above === undefined ? {} : { [field]: { [KEYS[above]]: parent } }),
    };
  }

  async function there(): Promise<Record<string, [string, string | null, string][]>> {
    const out: Record<string, [string, string | null, string][]> = {};
    const names = new Map<string, string>();
    for (const kind of ["services", "consumers", "routes", "key-auths", "plugins"] as const) {
      const { data = [] } = (await gateway.call("GET", `/${kind}?size=1000`)).json;
      const field = PARENT[kind]?.[0];
      out[kind] = data
        .map((entity): [string, string | null, string] => {
          const name = String(entity[KEYS[kind]]);
          names.set(String(entity.id), name);
          const parent = field === undefined ? null : (entity[field] as { id: string }).id;
          return [
            name,
            parent === null ? null : (names.get(parent) ?? "nobody"),
            (entity.tags as string[])[0] ?? "",
          ];
        })
        .sort();
    }
    return out;
  }

  test(`${RUNS * OPERATIONS} of them are answered as the model says, and leave what it says`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(operation, { minLength: OPERATIONS, maxLength: OPERATIONS }),
        async (operations) => {
          const { call } = gateway;
          for (const kind of ["plugins", "key-auths", "routes", "services", "consumers"])
            for (const { id } of (await call("GET", `/${kind}?size=1000`)).json.data ?? [])
              await call("DELETE", `/${kind}/${id}`);
          const model = new Model();
          for (const each of operations) {
            const { verb, kind, name } = each;
            const path = verb === "POST" ? `/${kind}` : `/${kind}/${name}`;
            const { status, text } = await call(verb, path, bodyOf(each));
            assert.equal(status, model.apply(each), `${JSON.stringify(each)}: ${text}`);
          }
          const expected = Object.fromEntries(
            Object.entries(model.kept).map(([kind, kept]) => [
              kind,
              [...kept].map(([name, { parent, tag }]) => [name, parent, tag]).sort(),
            ]),
          );
          assert.deepEqual(await there(), expected);
        },
      ),
      { numRuns: RUNS },
    );
  });
});
