/**
 * decK itself, where it is installed (`deck` in PATH, or the file that DECK names): test/control/deck.test.ts replays its
 * calls everywhere.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { findTool } from "../../src/sandbox/fence/fence.ts";
import { startWritable } from "../control/gateway.ts";

const DECK = process.env.DECK ?? findTool("deck");

const FILE = `
_format_version: "3.0"
services:
- name: shop
  url: http://127.0.0.1:9000/base
  connect_timeout: 5000
  tags: [a, b]
  routes:
  - name: shop-route
    paths: [/shop, "~/re/(?<x>\\\\d+)$"]
    headers: {x-a: [one, two]}
    plugins:
    - name: rate-limiting
      config: {minute: 5, policy: local}
  plugins:
  - name: key-auth
    config: {key_names: [apikey]}
upstreams:
- name: pool
  targets:
  - {target: "127.0.0.1:9001", weight: 10}
  - {target: "127.0.0.1:9002"}
consumers:
- username: alice
  custom_id: c-1
  keyauth_credentials: [{key: alice-key-123}]
  hmacauth_credentials: [{username: alice, secret: s3}]
  jwt_secrets: [{key: iss1, secret: abc, algorithm: HS256}]
  acls: [{group: gold}]
  groups: [{name: group-1}]
consumer_groups:
- name: group-1
plugins:
- name: correlation-id
  config: {header_name: X-Corr}
vaults:
- name: env
  prefix: my-env
  config: {prefix: TOP_}
`;

if (DECK !== null)
  test("decK creates, compares, changes, dumps, removes and restores a configuration", async (t) => {
    const folder = await mkdtemp(join(tmpdir(), "deck-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    await using gateway = await startWritable();
    const file = join(folder, "kong.yml");
    const dumped = join(folder, "dumped.yml");
    const deck = async (...args: string[]) => {
      const options = ["--kong-addr", gateway.adminUrl, "--analytics=false"];
      const { stdout } = await promisify(execFile)(DECK, ["gateway", ...args, ...options]);
      const counts = /Created: (\d+)\s+Updated: (\d+)\s+Deleted: (\d+)/.exec(stdout);
      return counts?.slice(1).map(Number);
    };
    await writeFile(file, FILE);
    assert.deepEqual(await deck("sync", file), [16, 0, 0]);
    assert.deepEqual(await deck("diff", file), [0, 0, 0]);
    await deck("validate", file);
    await writeFile(file, FILE.replace("minute: 5", "minute: 9").replace("weight: 10", "weight: 30"));
    assert.deepEqual(await deck("sync", file), [0, 2, 0]);
    assert.deepEqual(await deck("diff", file), [0, 0, 0]);
    await deck("dump", "-o", dumped, "--yes");
    assert.match(await readFile(dumped, "utf8"), /minute: 9/);
    assert.deepEqual(await deck("diff", dumped), [0, 0, 0]);
    assert.deepEqual(await deck("reset", "--force"), [0, 0, 16]);
    assert.deepEqual(await deck("sync", dumped), [16, 0, 0]);
    assert.deepEqual(await deck("diff", file), [0, 0, 0]);
  });
