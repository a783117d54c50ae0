/** Credentials, groups, keys and vaults in files: nested, top level, made up, hashed, and never told in messages. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { exportConfig } from "../../src/admin/export.ts";
import { formatConfigErrors, loadDeclarative } from "../../src/declarative/declarative.ts";
import { noConfig } from "../../src/declarative/empty-config.ts";
import { editsBetween } from "../../src/entities/change.ts";
import { ENTITY_NAMES, type GatewayConfig } from "../../src/entities/entities.ts";
import { EntityIndex } from "../../src/entities/entity-index.ts";
import { verifyPassword } from "../../src/entities/passwords.ts";
import { catalogue, load, loadSound } from "./support.ts";

const HEAD = '_format_version: "3.0"\n';

function faults(text: string): string[] {
  const loaded = load(HEAD + text);
  return loaded.ok ? [] : formatConfigErrors(loaded.errors).split("\n");
}

const NESTED = `${HEAD}
consumer_groups:
- name: gold
consumers:
- username: alice
  acls:
  - group: admins
  basicauth_credentials:
  - { username: alice, password: open sesame }
  hmacauth_credentials:
  - username: alice
  jwt_secrets:
  - key: issuer
  keyauth_credentials:
  - key: k
  oauth2_credentials:
  - { name: app, redirect_uris: [https://app.example/back] }
  consumer_group_consumers:
  - consumer_group: gold
key_sets:
- name: signing
  keys:
  - { kid: "1", name: first, jwk: '{"kty":"oct","kid":"1","k":"c2VjcmV0"}' }
`;

test("credentials, memberships and keys are nested under what they belong to", () => {
  const config = loadSound(NESTED);
  const [alice] = config.consumers;
  for (const name of [
    "acls",
    "basicauth_credentials",
    "hmacauth_credentials",
    "jwt_secrets",
    "keyauth_credentials",
    "oauth2_credentials",
    "consumer_group_consumers",
  ] as const)
    assert.deepEqual(config[name][0]?.consumer, { id: alice?.id }, name);
  assert.deepEqual(config.consumer_group_consumers[0]?.consumer_group, { id: config.consumer_groups[0]?.id });
  assert.deepEqual(config.keys[0]?.set, { id: config.key_sets[0]?.id });
});

test("they may stand at the top as well, and get the same ids", () => {
  const nested = loadSound(`${HEAD}consumers: [{username: alice, acls: [{group: admins}]}]`);
  const top = loadSound(`${HEAD}consumers: [{username: alice}]\nacls: [{consumer: alice, group: admins}]`);
  assert.equal(top.acls[0]?.consumer.id, nested.consumers[0]?.id);
});

test("keys and secrets that are absent are made up, of 32 letters and digits, and kept over a reload", () => {
  const config = loadSound(NESTED);
  const made = (each: GatewayConfig) => [
    each.hmacauth_credentials[0]?.secret,
    each.jwt_secrets[0]?.secret,
    each.oauth2_credentials[0]?.client_id,
    each.oauth2_credentials[0]?.client_secret,
  ];
  for (const text of made(config)) assert.match(text ?? "", /^[A-Za-z0-9]{32}$/);
  assert.equal(new Set(made(config)).size, 4);
  const again = loadDeclarative(`${NESTED}_comment: "other"`, { plugins: catalogue, previous: config });
  assert.ok(again.ok);
  assert.deepEqual(made(again.config), made(config));
});

test("a password is kept as a hash, the same one while the file says the same", async () => {
  const config = loadSound(NESTED);
  const [credential] = config.basicauth_credentials;
  assert.ok(credential);
  assert.match(credential.password, /^\$scrypt\$/);
  assert.ok(await verifyPassword(credential.password, "open sesame", credential.consumer.id));
  const again = loadDeclarative(`${NESTED}_comment: "other"`, { plugins: catalogue, previous: config });
  assert.ok(again.ok);
  assert.equal(again.config.basicauth_credentials[0], credential);
  assert.equal(again.config.hash, config.hash);
  const changed = NESTED.replace("open sesame", "other");
  const other = loadDeclarative(changed, { plugins: catalogue, previous: config });
  assert.ok(other.ok);
  assert.notEqual(other.config.hash, config.hash);
  assert.ok(
    await verifyPassword(other.config.basicauth_credentials[0]?.password ?? "", "other", credential.id),
  );
});

test("with _transform: false hashed passwords are taken as they are, ours and Kong's, and nothing else is", async () => {
  const { password } = loadSound(NESTED).basicauth_credentials[0] ?? { password: "" };
  const kongs = "a4d55f5ac46cbd1a1ad3bf9a4fb2a9f9a4d55f5a";
  for (const stored of [password, kongs]) {
    const text = `_transform: false\nconsumers: [{username: a, basicauth_credentials: [{username: a, password: "${stored}"}]}]`;
    assert.equal(loadSound(HEAD + text).basicauth_credentials[0]?.password, stored);
  }
  const plain =
    "_transform: false\nconsumers: [{username: a, basicauth_credentials: [{username: a, password: b}]}]";
  assert.deepEqual(faults(plain), [
    "kong.yml:3:75 basic-auth credential 'a' password: expected a hashed password, as _transform is false; with _transform: true it is taken as the password itself",
  ]);
});

test("what is exported loads again as it was, passwords included; a key that is not shown has to be put back", () => {
  const config = loadSound(NESTED);
  const exported = exportConfig(EntityIndex.empty.next(editsBetween(noConfig(), config)));
  assert.doesNotMatch(exported, /open sesame|c2VjcmV0/);
  const refused = load(exported);
  assert.ok(!refused.ok);
  assert.deepEqual(
    refused.errors.map(({ entity, field, message }) => [entity, field, message]),
    [["key", "jwk", "its private members are REDACTED: write them out"]],
  );
  const again = loadSound(exported.replace("REDACTED", "c2VjcmV0"));
  for (const name of ENTITY_NAMES) assert.deepEqual(again[name], config[name], name);
});

const REFUSED: [title: string, text: string, expected: string[]][] = [
  [
    "one username twice",
    "consumers: [{username: a, basicauth_credentials: [{username: u, password: x}, {username: u, password: y}]}]",
    [
      "kong.yml:2:90 basic-auth credential 'u' username: uniqueness violation: 'basicauth_credentials' entity with username set to 'u' already declared; the first is on line 2",
    ],
  ],
  [
    "one group twice for a consumer",
    "consumers: [{username: a, acls: [{group: g}, {group: g}]}]",
    [
      "kong.yml:2:54 acl 'g' group: uniqueness violation: 'acls' entity with consumer, group set to 'a, g' already declared; the first is on line 2",
    ],
  ],
  [
    "a consumer twice in a group",
    "consumer_groups: [{name: g}]\nconsumers: [{username: a, consumer_group_consumers: [{consumer_group: g}, {consumer_group: g}]}]",
    [
      "kong.yml:3:75 membership consumer: uniqueness violation: 'consumer_group_consumers' entity with consumer_group, consumer set to 'g, a' already declared; the first is on line 3",
    ],
  ],
  [
    "one kid twice in a set",
    `key_sets: [{name: s, keys: [{kid: "1", jwk: '{"kty":"oct","kid":"1","k":"YQ"}'}, {kid: "1", jwk: '{"kty":"oct","kid":"1","k":"Yg"}'}]}]`,
    [
      "kong.yml:2:82 key set: uniqueness violation: 'keys' entity with kid, set set to '1, s' already declared; the first is on line 2",
    ],
  ],
  [
    "a key's kid that is another",
    `keys: [{name: k, kid: "1", jwk: '{"kty":"oct","kid":"2","k":"YQ"}'}]`,
    ["kong.yml:2:8 key 'k': kid in jwk.kid must be equal to keys.kid"],
  ],
  [
    "filter chains",
    "services: [{name: s, host: h, filter_chains: [{filters: [{name: f}]}]}]",
    [
      "kong.yml:2:47 filter chain: filter chains are not served; packages of plugins run WebAssembly in their place",
    ],
  ],
  [
    "a vault of a tenant",
    "workspaces: [{name: acme, vaults: [{prefix: mine, name: env}]}]",
    [
      "kong.yml:2:36 vault 'mine' of workspace 'acme': workspace 'acme' may not have it: vaults are the operator's, as what they reach is",
    ],
  ],
  [
    "a vault that is named as a kind of vault",
    "vaults: [{prefix: env, name: env}]",
    ["kong.yml:2:19 vault 'env' prefix: must not be one of: env, file"],
  ],
  [
    "a kind of vault that is not there",
    "vaults: [{prefix: mine, name: hcv}]",
    ["kong.yml:2:31 vault 'mine' name: vault 'hcv' is not installed"],
  ],
];

for (const [title, text, expected] of REFUSED)
  test(`${title} is refused where it stands`, () => assert.deepEqual(faults(text), expected));

test("messages about credentials never quote what is as good as a password", () => {
  const twice = faults("consumers: [{username: a, keyauth_credentials: [{key: hush}, {key: hush}]}]");
  assert.equal(twice.length, 1);
  const wrong = faults(
    "consumers: [{username: a, hmacauth_credentials: [{username: b, secret: hush, x: 1}], basicauth_credentials: [{password: hush, x: 1}], keyauth_credentials: [{key: hush, x: 1}], jwt_secrets: [{secret: hush, x: 1}], oauth2_credentials: [{client_secret: hush, x: 1}]}]",
  );
  assert.ok(wrong.length >= 5);
  assert.equal(
    [...twice, ...wrong].some((line) => line.includes("hush")),
    false,
    wrong.join("\n"),
  );
});
