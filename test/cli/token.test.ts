/** `gatehouse token ...` and how commands say who asks: processes beside a gateway that wants to know. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { scratch } from "../registry/packages.ts";
import { type Gateway, startGateway } from "../support/gateway.ts";

const PROGRAM = fileURLToPath(new URL("./program.ts", import.meta.url));

let gateway: Gateway;
before(async () => {
  gateway = await startGateway({ config: null, settings: { data_threads: "1", admin_auth: "on" } });
});
after(() => gateway[Symbol.asyncDispose]());

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** In a directory where there is no prefix of anybody's. */
function gatehouse(args: readonly string[], env: Record<string, string> = {}): Promise<Ran> {
  const { promise, resolve } = Promise.withResolvers<Ran>();
  const { GATEHOUSE_ADMIN_TOKEN: _, GATEHOUSE_PREFIX: __, ...plain } = process.env;
  execFile(
    process.execPath,
    [PROGRAM, ...args],
    { cwd: scratch(), env: { ...plain, ...env } },
    (error, out, err) => resolve({ code: error ? Number(error.code) : 0, out, err }),
  );
  return promise;
}

const at = (...more: string[]) => ["--admin", gateway.adminUrl, ...more];
const own = () => at("--prefix", gateway.prefix);

test("a token is made by the gateway's own, listed without its secret, used, and revoked", async () => {
  const made = await gatehouse([
    ...["token", "create", "ci", "--role", "viewer", "--workspace", "*", "--expires", "30d"],
    ...own(),
  ]);
  assert.equal(made.code, 0, made.err);
  const [, token = ""] = made.out.trimEnd().split("\n");
  assert.match(token, /^gh_/);
  assert.match(made.out, /^token [0-9a-f-]{36}: ci, viewer of all workspaces, ends 20\d\d-/);
  const env = { GATEHOUSE_ADMIN_TOKEN: token };
  const explained = await gatehouse(["explain", "GET", "http://a.example/", ...at()], env);
  assert.equal(explained.code, 1, explained.err);
  const denied = await gatehouse(["token", "list", ...at()], env);
  assert.equal(denied.code, 1);
  assert.match(denied.err, /This token's role is 'viewer', and this takes the role 'owner' \(403\)/);
  const listed = await gatehouse(["token", "list", "--json", ...own()]);
  const tokens = JSON.parse(listed.out) as { id: string; last_four: string; name: string }[];
  assert.deepEqual(
    tokens.map(({ name, last_four }) => [name, last_four]),
    [["ci", token.slice(-4)]],
  );
  assert.ok(!listed.out.includes(token));
  const revoked = await gatehouse(["token", "revoke", String(tokens[0]?.id), ...own()]);
  assert.equal(revoked.code, 0, revoked.err);
  const gone = await gatehouse(["explain", "GET", "http://a.example/", ...at()], env);
  assert.equal(gone.code, 2);
  assert.match(gone.err, /wants a token, and the one that was sent does not count/);
});

const WRONG: [title: string, args: () => string[], code: number, message: RegExp][] = [
  [
    "no token",
    () => ["token", "list", ...at()],
    1,
    /wants a token; give one by GATEHOUSE_ADMIN_TOKEN or --token/,
  ],
  ["a token that is none", () => ["token", "list", ...at("--token", "a b")], 1, /the token is no token/],
  [
    "no gateway",
    () => ["token", "list", "--admin", "http://127.0.0.1:1"],
    3,
    /cannot be reached \(ECONNREFUSED\)/,
  ],
  ["no URL", () => ["token", "list", "--admin", "ftp://x"], 1, /is not the URL of an Admin API/],
  [
    "a time that is none",
    () => ["token", "create", "x", "--role", "viewer", "--workspace", "*", "--expires", "soon", ...own()],
    1,
    /--expires 'soon' is no time; write 12h, 30d/,
  ],
  ["a token that there is not", () => ["token", "revoke", "x", ...own()], 1, /there is no token 'x'/],
];
for (const [title, args, code, message] of WRONG)
  test(`${title} ends with code ${code} and a sentence`, async () => {
    const ran = await gatehouse(args());
    assert.match(ran.err, message);
    assert.equal(ran.code, code);
    assert.equal(ran.out, "");
  });

test("the gateway's own token is found by GATEHOUSE_PREFIX, and sent to no other machine", async () => {
  const env = { GATEHOUSE_PREFIX: gateway.prefix };
  assert.equal((await gatehouse(["token", "list", ...at()], env)).code, 0);
  const { AdminApi } = await import("../../src/cli/admin-api.ts");
  const elsewhere = await AdminApi.open({ admin: "http://192.0.2.1:8001" }, env);
  const here = await AdminApi.open({ admin: gateway.adminUrl }, env);
  assert.equal(elsewhere.hasToken, false);
  assert.equal(here.hasToken, true);
});
