/** Random routes and requests for the properties of the router. */

import fc from "fast-check";
import { normalizePath } from "../../src/router/path.ts";
import { request, route } from "./fixtures.ts";

const listOf = <V>(...values: V[]) =>
  fc.option(fc.uniqueArray(fc.constantFrom(...values), { maxLength: 3 }), { freq: 2 });

const prefix = fc
  .array(fc.constantFrom("/", "a", "b", "ab", "/a", "/b"), { maxLength: 5 })
  .map((pieces) => normalizePath(`/${pieces.join("")}`));
const regex = fc.constantFrom(
  "~/a",
  "~/a+/b*",
  "~/[ab]+$",
  "~/(a|b)/(?<x>[^/]+)",
  "~/a|/b",
  "~/ab?",
  "~/a.b",
  "~/b{2}",
  "~/(?:a/)*b",
  "~/",
);

/** Routes over small alphabets, so that many match one request. Ids are of 100, so that sets share some. */
export const routeSet = fc
  .array(
    fc.record({
      methods: listOf("GET", "POST"),
      hosts: listOf("a.x", "b.x", "*.x", "a.*", "*.a.x", "a.x:80", "*.x:81", "c.a.x"),
      paths: fc.option(fc.array(fc.oneof({ arbitrary: prefix, weight: 2 }, regex), { maxLength: 4 }), {
        freq: 5,
      }),
      headers: fc.option(
        fc.dictionary(
          fc.constantFrom("h", "k"),
          fc.uniqueArray(fc.constantFrom("1", "2", "~*^x"), { minLength: 1, maxLength: 2 }),
          { maxKeys: 2, noNullPrototype: true },
        ),
      ),
      snis: listOf("s", "*.s", "s.*"),
      regex_priority: fc.constantFrom(0, 0, 1, 4_294_967_295),
    }),
    { minLength: 1, maxLength: 24 },
  )
  .map((rows) =>
    rows
      .map((row, i) => route({ id: `id-${String((i * 37) % 100).padStart(2, "0")}`, ...row }))
      .filter(
        (it) =>
          it.methods?.length ||
          it.hosts?.length ||
          it.paths?.length ||
          it.snis?.length ||
          Object.keys(it.headers ?? {}).length,
      ),
  );

export const requests = fc.array(
  fc
    .record({
      method: fc.constantFrom("GET", "POST", "PUT"),
      host: fc.constantFrom("a.x", "b.x", "c.x", "c.a.x", "a.y", "", ".x"),
      port: fc.constantFrom(80, 81),
      path: prefix,
      scheme: fc.constantFrom("http" as const, "https" as const),
      sni: fc.constantFrom(null, "s", "t.s", "s.t"),
      headers: fc.dictionary(
        fc.constantFrom("h", "k"),
        fc.array(fc.constantFrom("1", "2", "xy"), { maxLength: 2 }),
        {
          noNullPrototype: true,
        },
      ),
    })
    .map(request),
  { minLength: 1, maxLength: 12 },
);
