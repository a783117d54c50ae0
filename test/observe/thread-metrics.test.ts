/** Metrics that plugins name: what guests may add to /metrics, and what they cannot. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { renderMetrics } from "../../src/observe/metrics.ts";
import { ThreadMetrics } from "../../src/observe/thread-metrics.ts";

/** What /metrics shows of these threads. */
async function page(...threads: ThreadMetrics[]): Promise<string> {
  const metrics = await Promise.all(threads.map(async (thread) => JSON.parse(await thread.json())));
  const stats = { requests: 0, accepted: 0, active: 0, waiting: 0, reading: 0 };
  const losses = { threads: { crash: 0, hang: 0 }, connections: 0, requests: 0 };
  return renderMetrics(
    { metrics, stats, ledger: [], losses, spilled: { bodies: 0, bytes: 0 } },
    { nodeId: "n", version: "1", cordons: 0, cpuAccounts: [], refused: { total: 0, address: 0 } },
  );
}

/** Samples of a metric by their labels, as they are printed. */
async function samples(metric: string, ...threads: ThreadMetrics[]): Promise<Record<string, number>> {
  const found: Record<string, number> = {};
  for (const [, name, labels = "", value] of (await page(...threads)).matchAll(/^(\w+)\{(.*)\} (\S+)$/gm))
    if (name === metric) found[labels] = Number(value);
  return found;
}

const overflow = (thread: ThreadMetrics) => samples("gatehouse_metric_overflow_total", thread);

test("what a guest counts has the prefix of guests, and the gateway's word for whose it is", async () => {
  const metrics = new ThreadMetrics();
  metrics.guest("acme", "hello").count("greetings", "Help.", { lang: "de" }, 2);
  assert.deepEqual(await samples("gatehouse_guest_greetings_total", metrics), {
    'lang="de",plugin="hello",workspace="acme"': 2,
  });
});

test("a guest cannot show up as another workspace or plugin", async () => {
  const metrics = new ThreadMetrics();
  const forged = { workspace: "globex", plugin: "other" };
  metrics.guest("acme", "hello").count("c_total", "Help.", forged, 1);
  assert.deepEqual(await samples("gatehouse_guest_c_total", metrics), {
    'plugin="hello",workspace="acme"': 1,
  });
  metrics.guest("globex", "other").count("c_total", "Help.", { a: "1" }, 1);
  // Sums are made by labels written one after the other: no value may read like further labels.
  metrics
    .guest("acme", "hello")
    .count("c_total", "Help.", { a: "1,plugin:other,workspace:globex,plugin:hello" }, 1);
  assert.deepEqual(Object.keys(await samples("gatehouse_guest_c_total", metrics)), [
    'plugin="hello",workspace="acme"',
    'a="1",plugin="other",workspace="globex"',
  ]);
});

test("a guest cannot take the name of a built-in's metric, nor its help", async () => {
  const metrics = new ThreadMetrics();
  metrics.guest("acme", "evil").count("kong_http_requests_total", "Evil.", { x: "1" }, 7);
  metrics.count("kong_http_requests_total", "Good.", { code: "200" }, 1);
  assert.deepEqual(await samples("kong_http_requests_total", metrics), { 'code="200"': 1 });
  assert.match(await page(metrics), /^# HELP kong_http_requests_total Good\.$/m);
  assert.doesNotMatch(await page(metrics), /Evil/);
});

test("workspaces that use one name differently, on different threads, do not disturb each other", async () => {
  const [one, two] = [new ThreadMetrics(), new ThreadMetrics()];
  one.guest("acme", "p").count("jobs", "", { a: "1" }, 1);
  one.guest("globex", "p").count("jobs", "", { b: "1" }, 2);
  two.guest("globex", "p").observe("jobs", "", [1, 5], { b: "1" }, 3);
  two.guest("globex", "p").count("jobs", "", { b: "1" }, 5);
  two.guest("acme", "p").observe("jobs", "", [10], {}, 3);
  assert.deepEqual(await samples("gatehouse_guest_jobs_total", one, two), {
    'a="1",plugin="p",workspace="acme"': 1,
    'b="1",plugin="p",workspace="globex"': 7,
  });
  assert.deepEqual(await samples("gatehouse_guest_jobs_count", one, two), {
    'b="1",plugin="p",workspace="globex"': 1,
    'plugin="p",workspace="acme"': 1,
  });
});

const FLOODS: readonly [title: string, flood: (sink: ReturnType<ThreadMetrics["guest"]>) => void][] = [
  [
    "names",
    (sink) => {
      for (let i = 0; i < 1000; i++) sink.count(`c${i}`, "", {}, 1);
    },
  ],
  [
    "series",
    (sink) => {
      for (let i = 0; i < 20_000; i++) sink.count("c", "", { i: `${i}` }, 1);
    },
  ],
  [
    "series of histograms",
    (sink) => {
      const buckets = Array.from({ length: 64 }, (_, i) => i);
      for (let i = 0; i < 1000; i++) sink.observe("h", "", buckets, { i: `${i}` }, 1);
    },
  ],
  [
    "label bytes",
    (sink) => {
      const labels = Object.fromEntries(Array.from({ length: 31 }, (_, i) => [`l${i}`, "x".repeat(250)]));
      for (let i = 0; i < 5000; i++) sink.count("c", "", { ...labels, i: `${i}` }, 1);
    },
  ],
  [
    "label values that differ in where they are split",
    (sink) => {
      for (let i = 0; i < 200; i++)
        for (let k = 0; k < 100; k++)
          sink.count(
            "c",
            "",
            { a: "\0".repeat(i), b: "\0".repeat(200 - i), c: "\0".repeat(k), d: "\0".repeat(100 - k) },
            1,
          );
    },
  ],
];

for (const [title, flood] of FLOODS)
  test(`a workspace's flood of ${title} is held within its quota, counted, and costs no other workspace`, async () => {
    const metrics = new ThreadMetrics();
    flood(metrics.guest("acme", "flood"));
    metrics.guest("globex", "p").count("good", "", {}, 1);
    assert.equal(Object.keys(await samples("gatehouse_guest_good_total", metrics)).length, 1);
    const text = await page(metrics);
    assert.ok(text.split("\n").length < 3000, `${text.split("\n").length} lines`);
    assert.ok(text.length < 1 << 20, `${text.length} bytes`);
    assert.ok(((await overflow(metrics))['workspace="acme"'] ?? 0) > 0, "samples over the quota are counted");
    assert.equal((await overflow(metrics))['workspace="globex"'], undefined);
  });

test("many workspaces' floods together are held within one quota, of which one with few series gets its part", async () => {
  const metrics = new ThreadMetrics();
  const flood = (workspace: string) => {
    const sink = metrics.guest(workspace, "flood");
    for (let i = 0; i < 3000; i++) sink.count("c", "", { i: `${i}` }, 1);
  };
  for (let w = 0; w < 40; w++) flood(`w${w}`);
  metrics.guest("late", "p").count("good", "", {}, 1);
  assert.equal(Object.keys(await samples("gatehouse_guest_good_total", metrics)).length, 1);
  const counts = Object.keys(await samples("gatehouse_guest_c_total", metrics));
  assert.ok(counts.length > 9000 && counts.length < 35_000, `${counts.length} series`);
  metrics.forget("w0");
  flood("w0");
  const again = Object.keys(await samples("gatehouse_guest_c_total", metrics));
  assert.ok(
    again.some((labels) => labels.endsWith('workspace="w0"')),
    "what is forgotten makes room",
  );
});

test("the page is made in pieces, between which others have the thread", async () => {
  const metrics = new ThreadMetrics();
  for (let w = 0; w < 8; w++)
    for (let i = 0; i < 1500; i++) metrics.guest(`w${w}`, "p").count(`c${w}`, "", { i: `${i}` }, 1);
  let turns = 0;
  let done = false;
  const others = () => {
    turns++;
    if (!done) setImmediate(others);
  };
  setImmediate(others);
  await page(metrics);
  done = true;
  assert.ok(turns >= 7, `${turns} turns`);
});

for (const [title, add] of [
  ["an amount that no sum survives", (sink) => sink.count("c", "", {}, 1e308)],
  ["a measurement that no sum survives", (sink) => sink.observe("h", "", [1], {}, -1e308)],
  ["a label le", (sink) => sink.observe("h", "", [1], { le: "1" }, 1)],
  ["a label that begins with __", (sink) => sink.count("c", "", { __name__: "up" }, 1)],
  ["a histogram with a counter's ending", (sink) => sink.observe("h_total", "", [1], {}, 1)],
  [
    "other labels than before",
    (sink) => {
      sink.count("c", "", { a: "1" }, 1);
      sink.count("c", "", { b: "1" }, 1);
    },
  ],
] as readonly [string, (sink: ReturnType<ThreadMetrics["guest"]>) => void][])
  test(`${title}: the sample is dropped, and that is counted`, async () => {
    const metrics = new ThreadMetrics();
    add(metrics.guest("acme", "p"));
    assert.deepEqual(await overflow(metrics), { 'workspace="acme"': 1 });
  });

test("labels in another order are the same labels", async () => {
  const metrics = new ThreadMetrics();
  const sink = metrics.guest("acme", "p");
  sink.count("c", "", { a: "1", b: "2" }, 1);
  sink.count("c", "", { b: "2", a: "1" }, 1);
  assert.deepEqual(Object.values(await samples("gatehouse_guest_c_total", metrics)), [2]);
});
