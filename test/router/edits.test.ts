/** A router that came about by edits answers as one built from its routes, and the one before answers as it did. */

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import type { MatchInput, RouteInput } from "../../src/router/router.ts";
import { Router, RouterError } from "../../src/router/router.ts";
import { requests, routeSet } from "./arbitraries.ts";
import { route, routerOf, winner } from "./fixtures.ts";

const built = (routes: Iterable<RouteInput>): Router<string> =>
  Router.build([...routes].map((it) => ({ route: it, data: it.id })));

const answers = (router: Router<string>, inputs: readonly MatchInput[]) =>
  inputs.map((input) => {
    const match = router.match(input);
    return match && { ...match };
  });

interface Step {
  put: RouteInput[];
  /** Places in the list of routes in force, of those to remove. */
  remove: number[];
}

const steps = fc.array(fc.record({ put: routeSet, remove: fc.array(fc.nat(40), { maxLength: 12 }) }), {
  minLength: 1,
  maxLength: 6,
}) as fc.Arbitrary<Step[]>;

describe("edits", () => {
  test("after any changes the router answers as one built anew, and every earlier one as before", () => {
    fc.assert(
      fc.property(steps, requests, (changes, inputs) => {
        let router = Router.empty<string>();
        const routes = new Map<string, RouteInput>();
        const history: { router: Router<string>; answers: unknown }[] = [];
        for (const { put, remove } of changes) {
          const edit = router.edit();
          const known = [...routes.keys()];
          for (const at of remove) {
            const id = known[at % known.length];
            if (id === undefined) continue;
            edit.remove(id);
            routes.delete(id);
          }
          for (const it of put) {
            edit.add(it, it.id);
            routes.set(it.id, it);
          }
          router = edit.done();
          const fresh = built(routes.values());
          const expected = answers(fresh, inputs);
          assert.deepEqual(answers(router, inputs), expected);
          for (const input of inputs) assert.deepEqual(router.explain(input), fresh.explain(input));
          history.push({ router, answers: expected });
        }
        for (const earlier of history) assert.deepEqual(answers(earlier.router, inputs), earlier.answers);
      }),
      { numRuns: 300 },
    );
  });

  test("a router whose routes were all taken out finds nothing", () => {
    fc.assert(
      fc.property(routeSet, requests, (routes, inputs) => {
        const edit = built(routes).edit();
        for (const { id } of routes) edit.remove(id);
        assert.deepEqual(
          answers(edit.done(), inputs),
          inputs.map(() => null),
        );
      }),
      { numRuns: 100 },
    );
  });

  test("a route that cannot be built refuses the edit, and the router goes on as it was", () => {
    const router = routerOf({ id: "a", paths: ["/a"] }, { id: "b", paths: ["~/b(\\d)"] });
    const edit = router.edit();
    edit.remove("a");
    edit.add(route({ id: "b", paths: ["~/b(?=x)"] }), "b");
    assert.throws(() => edit.done(), RouterError);
    assert.equal(winner(router, { path: "/a" }), "a");
    assert.equal(winner(router, { path: "/b1" }), "b");
  });

  test("routes that do not change keep the order of trying around one that comes between them", () => {
    const router = routerOf({ id: "1", paths: ["~/x"] }, { id: "3", paths: ["~/x"] });
    const edit = router.edit();
    edit.add(route({ id: "2", paths: ["~/x"] }), "2");
    const three = edit.done();
    assert.deepEqual(
      three.explain({ ...anyRequest, path: "/x" }).others.map(({ routeId }) => routeId),
      ["2", "1"],
    );
    assert.equal(winner(three, { path: "/x" }), "3");
    const without = three.edit();
    without.remove("3");
    assert.equal(winner(without.done(), { path: "/x" }), "2");
  });
});

const anyRequest: MatchInput = {
  method: "GET",
  host: "",
  port: 80,
  path: "/",
  scheme: "http",
  sni: null,
  headerValues: () => [],
  query: "",
  clientIp: "127.0.0.1",
  clientPort: 40_000,
  localIp: "127.0.0.1",
};
