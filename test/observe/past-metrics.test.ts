/** Metrics of threads that are gone: kept, summed, bounded. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { renderMetrics } from "../../src/observe/metrics.ts";
import { PastMetrics } from "../../src/observe/past-metrics.ts";
import { type MetricsJson, ThreadMetrics } from "../../src/observe/thread-metrics.ts";
import { Ledger } from "../../src/sandbox/ledger.ts";

async function counted(code: string, count: number, measured: number): Promise<MetricsJson> {
  const metrics = new ThreadMetrics();
  metrics.count("answers_total", "Answers.", { code }, count);
  metrics.observe("took_ms", "Time.", [10, 100], { code }, measured);
  return JSON.parse(await metrics.json());
}

async function page(past: PastMetrics, ...living: MetricsJson[]): Promise<string[]> {
  const stats = { requests: 0, accepted: 0, active: 0, waiting: 0, reading: 0 };
  const losses = { threads: { crash: 2, hang: 1 }, connections: 5, requests: 3 };
  const text = await renderMetrics(
    {
      metrics: [past.metrics, ...living],
      stats,
      ledger: past.ledger,
      losses,
      spilled: { bodies: 0, bytes: 0 },
    },
    { nodeId: "n", version: "1", cordons: 0, cpuAccounts: [], refused: { total: 0, address: 0 } },
  );
  return text.split("\n");
}

test("counters and histograms of the dead and the living are one sum", async () => {
  const past = new PastMetrics();
  past.add(await counted("200", 3, 7), []);
  past.add(await counted("200", 4, 70), []);
  past.add(await counted("404", 1, 700), []);
  const lines = await page(past, await counted("200", 10, 8));
  for (const line of [
    'answers_total{code="200"} 17',
    'answers_total{code="404"} 1',
    'took_ms_bucket{le="10",code="200"} 2',
    'took_ms_bucket{le="100",code="200"} 3',
    'took_ms_count{code="200"} 3',
    'took_ms_sum{code="200"} 85',
    'took_ms_bucket{le="+Inf",code="404"} 1',
  ])
    assert.ok(lines.includes(line), `${line} in\n${lines.join("\n")}`);
});

test("losses of data threads are counters, by reason", async () => {
  const lines = await page(new PastMetrics());
  for (const line of [
    'gatehouse_data_thread_replacements_total{node_id="n",reason="crash"} 2',
    'gatehouse_data_thread_replacements_total{node_id="n",reason="hang"} 1',
    'gatehouse_data_thread_lost_connections_total{node_id="n"} 5',
    'gatehouse_data_thread_lost_requests_total{node_id="n"} 3',
    "# TYPE gatehouse_data_thread_lost_requests_total counter",
  ])
    assert.ok(lines.includes(line), line);
});

test("what guests have cost on threads that are gone is summed, their memory at its highest", () => {
  const past = new PastMetrics();
  for (const [calls, memoryBytes] of [
    [2, 100],
    [3, 50],
  ] as const) {
    const ledger = new Ledger();
    const row = ledger.enter("acme", "hello", "1.0.0");
    Object.assign(row, { calls, memoryBytes });
    row.failures.timeout = calls;
    past.add([], ledger.rows());
  }
  const [row, ...more] = past.ledger;
  assert.deepEqual([row?.calls, row?.memoryBytes, row?.failures.timeout], [5, 100, 5]);
  assert.deepEqual(more, []);
});

test("samples of the dead are bounded; those that are kept go on growing", async () => {
  const past = new PastMetrics(10);
  for (let i = 0; i < 50; i++) past.add(await counted(`${i}`, 1, 1), []);
  past.add(await counted("0", 1, 1), []);
  const samples = past.metrics.flatMap(({ values }) => values);
  assert.equal(samples.length, 10);
  const lines = await page(past);
  assert.ok(lines.includes('answers_total{code="0"} 2'));
});
