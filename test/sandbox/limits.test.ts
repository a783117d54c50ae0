/** The table of limits: every row is sound, and what is given for one workspace holds for that one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { validate } from "@gatehouse/sdk";
import { workspaceSchema } from "../../src/entities/workspaces.ts";
import {
  cpuAllowance,
  DEFAULT_LIMITS,
  type LimitName,
  limitsOf,
  lowered,
  MANIFEST_LIMITS,
  MOST_LIMITS,
  readLimits,
  WORKSPACE_LIMIT_TABLE,
  type WorkspaceLimit,
} from "../../src/sandbox/limits.ts";
import { loadSettings } from "../../src/settings.ts";

const NONE = { pluginLimits: {}, pluginLimitsDefault: {} };
const ROWS = Object.entries(WORKSPACE_LIMIT_TABLE) as [LimitName, WorkspaceLimit][];

function violations(limits: object): string[] {
  const { violations } = validate(workspaceSchema, { name: "acme", plugin_limits: limits });
  return violations.map(({ path, message }) => `${path.join(".")}: ${message}`);
}

for (const [name, row] of ROWS) {
  const [least, most] = row.between;

  test(`${name}: its default lies within what may be set`, () => {
    assert.ok(least <= row.default && row.default <= most);
    assert.ok(row.bounds.length > 0 && row.beyond.length > 0 && row.enforcedBy.length > 0);
  });

  test(`${name}: a workspace may be given ${least} to ${most}, and nothing beyond`, () => {
    assert.deepEqual(violations({ [name]: least }), []);
    assert.deepEqual(violations({ [name]: most }), []);
    assert.equal(violations({ [name]: least - 1 }).length, 1);
    assert.equal(violations({ [name]: most + 1 }).length, 1);
    assert.equal(violations({ [name]: "many" }).length, 1);
    assert.deepEqual(readLimits([`${name}=${most}`]), { [name]: most });
    assert.ok("wrong" in readLimits([`${name}=${most + 1}`]));
  });

  test(`${name}: a workspace's own goes before the setting, and the setting before the default`, () => {
    const { key } = row;
    assert.equal(limitsOf("acme", null, NONE)[key], row.default);
    const settings = { pluginLimits: { [name]: most }, pluginLimitsDefault: {} };
    assert.equal(limitsOf("acme", null, settings)[key], most);
    assert.equal(limitsOf("acme", { [name]: null }, settings)[key], most);
    assert.equal(limitsOf("acme", { [name]: least }, settings)[key], least);
    assert.equal(limitsOf("globex", null, settings)[key], most, "and holds for no other workspace");
    assert.equal(limitsOf("default", null, { ...NONE, pluginLimitsDefault: { [name]: least } })[key], least);
  });
}

test("an unknown limit of a workspace is refused", () => {
  assert.deepEqual(violations({ memory: 1 }), ["plugin_limits.memory: unknown field"]);
});

test("the operator's own workspace has the CPU time that there is, unless a setting says otherwise", () => {
  const bound = (workspace: string, settings = NONE) =>
    cpuAllowance(limitsOf(workspace, null, settings)).msPerSecond;
  assert.equal(bound("default"), Number.POSITIVE_INFINITY);
  assert.equal(bound("acme"), DEFAULT_LIMITS.cpuMsPerSecond);
  assert.equal(
    bound("default", { ...NONE, pluginLimits: { cpu_ms_per_second: 70 } } as typeof NONE),
    Infinity,
  );
  assert.equal(bound("acme", { ...NONE, pluginLimits: { cpu_ms_per_second: 0 } } as typeof NONE), Infinity);
  const own = { ...NONE, pluginLimitsDefault: { cpu_ms_per_second: 70 } } as typeof NONE;
  assert.deepEqual(cpuAllowance(limitsOf("default", null, own)), { msPerSecond: 70, burstMs: 2000 });
});

test("a package has the lower of what it asks for and what its workspace has by now", () => {
  const limits = limitsOf("acme", { wall_ms: 100 }, NONE);
  for (const [, { key }] of MANIFEST_LIMITS) {
    assert.equal(lowered(limits, {})[key], limits[key]);
    assert.equal(lowered(limits, { [key]: 1 })[key], 1);
    assert.equal(lowered(limits, { [key]: MOST_LIMITS[key] })[key], limits[key]);
  }
});

test("limits in a setting are read with their units, and what cannot be read is refused with what is allowed", () => {
  const settings = (entries: string) => loadSettings({ env: { GATEHOUSE_PLUGIN_LIMITS: entries } });
  assert.deepEqual(settings("memory_bytes=64m, wall_ms=500").settings?.pluginLimits, {
    memory_bytes: 64 << 20,
    wall_ms: 500,
  });
  for (const [entries, message] of [
    ["memory=64m", /'memory' is not known; allowed: memory_bytes, cpu_ms/],
    ["wall_ms", /'wall_ms' is no limit; write wall_ms=N with N between 1 and 60000/],
    ["wall_ms=1k", /'wall_ms=1k' is no limit/],
    ["wall_ms=60001", /'wall_ms=60001' is no limit/],
    ["wall_ms=-1", /'wall_ms=-1' is no limit/],
    ["memory_bytes=1t", /is no limit/],
    ["wall_ms=5,wall_ms=6", /'wall_ms' is given twice/],
  ] as const)
    assert.match(String(settings(entries).errors), message);
});
