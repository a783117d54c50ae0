/** What anybody who may ask for the settings sees of them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { shownSettings } from "../../src/settings/shown.ts";
import { SETTINGS } from "../../src/settings/table.ts";
import { loadSettings, type Settings } from "../../src/settings.ts";

function shown(flags: Readonly<Record<string, string>>): Readonly<Record<string, unknown>> {
  return shownSettings(loadSettings({ flags }).settings as Settings);
}

test("every setting is shown by its own name", () => {
  assert.deepEqual(Object.keys(shown({})), Object.keys(SETTINGS));
  assert.equal(shown({ pg_host: "db.example" }).pg_host, "db.example");
});

test("passwords are shown as set, and not what they are", () => {
  const secret = "hunter2hunter2";
  const settings = shown({ pg_password: secret, redis_password: secret });
  assert.deepEqual([settings.pg_password, settings.redis_password], ["******", "******"]);
  assert.doesNotMatch(JSON.stringify(settings), /hunter2/);
  assert.deepEqual([shown({}).pg_password, shown({}).redis_password], [null, null]);
});

test("whatever is called a password, secret or key in the table is one, paths of files aside", () => {
  for (const [name, { secret }] of Object.entries(SETTINGS))
    assert.equal(secret, /password$|secret$|token$/.test(name), name);
});
