import assert from "node:assert/strict";
import { test } from "node:test";
import { Histogram } from "../../bench/load/histogram.ts";

/** Of any value, its bucket's end is at most 1/64 away. */
const RELATIVE_ERROR = 1 / 64;

test("a quantile is the value that this share of all values does not exceed, to 1.6 %", () => {
  const histogram = new Histogram();
  for (let us = 1; us <= 100_000; us++) histogram.add(us);
  assert.equal(histogram.count, 100_000);
  for (const share of [0.0001, 0.5, 0.9, 0.99, 0.999, 0.9999]) {
    const exact = Math.ceil(share * 100_000);
    const seen = histogram.quantile(share);
    assert.ok(seen >= exact && seen <= exact * (1 + RELATIVE_ERROR), `${share}: ${seen}, not ${exact}`);
  }
  assert.equal(histogram.quantile(1), 100_000);
});

test("values below the first bucket and beyond the last are counted, and the longest is exact", () => {
  const histogram = new Histogram();
  for (const us of [-5, 0, 0.9, 2 ** 30]) histogram.add(us);
  assert.equal(histogram.count, 4);
  assert.equal(histogram.quantile(0.5), 0);
  assert.equal(histogram.max, 2 ** 30);
});

test("two histograms merged are the histogram of all their values", () => {
  const [all, one, other] = [new Histogram(), new Histogram(), new Histogram()];
  for (let us = 0; us < 5000; us += 7) {
    all.add(us);
    (us % 2 === 0 ? one : other).add(us);
  }
  one.merge(structuredClone(other.data()));
  for (const share of [0.1, 0.5, 0.99, 1]) assert.equal(one.quantile(share), all.quantile(share));
});
