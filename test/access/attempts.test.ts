/** How often somebody may be wrong about a token, and who is held up by it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Attempts, MAX_ADDRESSES, MAX_FAILURES, MAX_FAILURES_IN_ALL } from "../../src/access/attempts.ts";

function clock() {
  let now = 1_000_000;
  return { now: () => now, pass: (ms: number) => (now += ms) };
}

const fail = (attempts: Attempts, address: string, times: number) =>
  Array.from({ length: times }, () => attempts.begin(address));

test("an address that was wrong too often waits for the rest of a minute, and others do not", () => {
  const { now, pass } = clock();
  const attempts = new Attempts(now);
  assert.deepEqual(fail(attempts, "10.0.0.1", MAX_FAILURES), Array(MAX_FAILURES).fill(0));
  assert.equal(attempts.begin("10.0.0.1"), 60);
  pass(45_000);
  assert.equal(attempts.begin("10.0.0.1"), 15);
  assert.equal(attempts.begin("10.0.0.2"), 0);
  pass(15_000);
  assert.equal(attempts.begin("10.0.0.1"), 0);
});

test("many at once are counted before any of them is known to be wrong", () => {
  const attempts = new Attempts();
  const waits = fail(attempts, "10.0.0.1", MAX_FAILURES * 2);
  assert.equal(waits.filter((wait) => wait === 0).length, MAX_FAILURES);
});

test("what was right is no failure", () => {
  const attempts = new Attempts();
  for (let i = 0; i < MAX_FAILURES * 3; i++) {
    assert.equal(attempts.begin("10.0.0.1"), 0);
    attempts.takeBack("10.0.0.1", { right: true });
  }
  assert.equal(attempts.failures("10.0.0.1"), 0);
});

test("failures of all are bounded, and hold up nobody who was right a while ago", () => {
  const { now, pass } = clock();
  const attempts = new Attempts(now);
  attempts.begin("10.0.0.1");
  attempts.takeBack("10.0.0.1", { right: true });
  for (let i = 0; i < MAX_FAILURES_IN_ALL; i++) assert.equal(attempts.begin(`10.1.${i >> 8}.${i & 255}`), 0);
  assert.equal(attempts.begin("10.2.0.1"), 60);
  assert.equal(attempts.begin("10.0.0.1"), 0);
  pass(60_000);
  assert.equal(attempts.begin("10.2.0.1"), 0);
});

const NETWORKS: [title: string, one: string, other: string, same: boolean][] = [
  ["two addresses of one IPv6 network", "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true],
  ["two IPv6 networks", "2001:db8:1:2::1", "2001:db8:1:3::1", false],
  ["a network written short", "2001:db8::1", "2001:db8:0:0:5::1", true],
  ["an interface's name behind the address", "fe80::1%eth0", "fe80::2%eth1", true],
  ["two IPv4 addresses", "10.0.0.1", "10.0.0.2", false],
  ["two IPv4 addresses on a socket of both kinds", "::ffff:10.0.0.1", "::ffff:10.0.0.2", false],
];

for (const [title, one, other, same] of NETWORKS)
  test(`${title} count ${same ? "as one" : "each for itself"}`, () => {
    const attempts = new Attempts();
    fail(attempts, one, MAX_FAILURES);
    assert.equal(attempts.begin(other) > 0, same);
  });

test("it keeps count of so many addresses and no more", () => {
  const { now, pass } = clock();
  const attempts = new Attempts(now);
  for (let i = 0; i < MAX_ADDRESSES + 500; i++) {
    attempts.begin(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`);
    if (i % 200 === 0) pass(61_000);
  }
  assert.equal(attempts.size, MAX_ADDRESSES);
});
