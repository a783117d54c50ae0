/** What is shared out between workspaces. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { Shares } from "../../src/tenancy/shares.ts";

it("nobody gets more than a part", () => {
  const shares = new Shares(100, 10);
  assert.equal(shares.take("a", 10), true);
  assert.equal(shares.take("a", 1), false);
  shares.give("a", 4);
  assert.equal(shares.take("a", 4), true);
  assert.equal(shares.of("a"), 10);
});

it("once all is taken, only those get more that have less than an equal part", () => {
  const shares = new Shares(10, 8);
  assert.equal(shares.take("a", 8), true);
  assert.equal(shares.take("b", 2), true);
  assert.equal(shares.take("b", 3), true);
  assert.equal(shares.take("b", 1), false);
  assert.equal(shares.take("c", 3), true);
  assert.equal(shares.take("a", 0.5), false);
  assert.equal(shares.largest(), "a");
});

it("what is given back can be taken again, by anybody", () => {
  const shares = new Shares(4, 4);
  assert.equal(shares.take("a", 4), true);
  shares.give("a", 4);
  assert.equal(shares.largest(), null);
  assert.equal(shares.take("b", 4), true);
});
