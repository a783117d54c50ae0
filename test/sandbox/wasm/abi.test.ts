/** Which host functions need which grant. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type GuestGrants, NO_GRANTS } from "../../../src/sandbox/calls/grants.ts";
import { asksOf, USER_FUNCTIONS, ungranted } from "../../../src/sandbox/wasm/abi.ts";

const ALL: GuestGrants = {
  ...NO_GRANTS,
  metrics: true,
  kvBytes: 1,
  httpHosts: ["a.example"],
  secrets: ["s"],
};

describe("an import of extism:host/user without its grant", () => {
  const grants: [name: string, grant: string][] = [
    ["kv_get", "kv_bytes"],
    ["kv_set", "kv_bytes"],
    ["kv_delete", "kv_bytes"],
    ["secret_get", "secrets"],
    ["metric_count", "metrics"],
  ];
  for (const [name, grant] of grants) {
    it(`${name} is refused with the name of the grant: ${grant}`, () => {
      const imports = ["extism:host/env.alloc", `extism:host/user.${name}`];
      const sentence = `the module imports 'extism:host/user.${name}', for which plugin.yaml has to ask: grants.${grant}`;
      assert.deepEqual(ungranted(imports, NO_GRANTS), [sentence]);
      assert.deepEqual(ungranted([...imports, ...imports], NO_GRANTS), [sentence]);
      assert.deepEqual(ungranted(imports, ALL), []);
    });
  }

  it("covers every function there", () => {
    assert.deepEqual(
      grants.map(([name]) => name),
      USER_FUNCTIONS,
    );
  });
});

it("http_request is no reason to refuse: development kits import it in any case", () => {
  assert.deepEqual(ungranted(["extism:host/env.http_request"], NO_GRANTS), []);
});

it("a guest may wait for what its grants name, and for nothing else", () => {
  assert.deepEqual(asksOf(NO_GRANTS), []);
  assert.deepEqual(asksOf({ ...NO_GRANTS, kvBytes: 1 }), ["kv"]);
  assert.deepEqual(asksOf(ALL), ["fetch", "kv", "secret"]);
});
