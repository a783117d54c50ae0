/**
 * What finding a route by expressions costs: ns per match with 10 to 10,000 of them, and ms to build the index.
 * They ask for hosts and beginnings of paths, one in fifty for a pattern, one in five for a method besides; the
 * requests hit every kind and miss now and then. The last line is what no index helps: each of a hundred
 * expressions asks for a header alone.
 *
 *     node bench/expressions.ts
 */

import { RouteTable } from "../src/router/route-table.ts";
import type { MatchInput, RouteInput } from "../src/router/router.ts";

const SIZES = [10, 100, 1_000, 10_000];
const MATCHES = 400_000;
const ROUNDS = 5;

function route(i: number, expression: string): RouteInput {
  return {
    id: `${((i * 2_654_435_761) % 2 ** 32).toString(16).padStart(8, "0")}-0000-4000-8000-${i.toString(16).padStart(12, "0")}`,
    methods: null,
    hosts: null,
    paths: null,
    headers: null,
    snis: null,
    protocols: ["http", "https"],
    regex_priority: 0,
    strip_path: true,
    expression,
    priority: i % 7,
  };
}

function expressionOf(i: number): string {
  const tenant = Math.floor(i / 10);
  const host =
    tenant % 10 === 9 ? `http.host =^ ".tenant-${tenant}.example"` : `http.host == "api-${tenant}.example"`;
  const path = i % 50 === 7 ? `http.path ~ r#"^/v1/items-${i}/\\d+"#` : `http.path ^= "/v1/service-${i}/"`;
  const method = i % 5 === 0 ? ' && (http.method == "GET" || http.method == "POST")' : "";
  return i % 10 === 3 ? path + method : `${host} && ${path}${method}`;
}

function request(i: number, n: number): MatchInput {
  const tenant = Math.floor(i / 10);
  const path = i % 50 === 7 ? `/v1/items-${i}/${n}/parts` : `/v1/service-${i}/resource/${n}`;
  return {
    method: "GET",
    host: tenant % 10 === 9 ? `eu.tenant-${tenant}.example` : `api-${tenant}.example`,
    port: 8_000,
    path: n % 20 === 0 ? `/none/${n}` : path,
    scheme: "http",
    sni: null,
    headerValues: () => [],
    query: "",
    clientIp: "127.0.0.1",
    clientPort: 40_000,
    localIp: "127.0.0.1",
  };
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

function tableOf(expressions: readonly string[]): { table: RouteTable<number>; ms: number } {
  const start = performance.now();
  const edit = RouteTable.empty<number>().edit();
  for (const [i, expression] of expressions.entries()) edit.add(route(i, expression), i);
  const table = edit.done() as RouteTable<number>;
  return { table, ms: performance.now() - start };
}

/** Median ns of CPU time per match, after warming. */
function measure(table: RouteTable<number>, requests: readonly MatchInput[]): { ns: number; found: number } {
  let found = 0;
  const round = () => {
    found = 0;
    const start = process.cpuUsage();
    for (let i = 0; i < MATCHES; i++) if (table.match(requests[i % requests.length]!) !== null) found++;
    const { user, system } = process.cpuUsage(start);
    return ((user + system) * 1_000) / MATCHES;
  };
  round();
  return { ns: median(Array.from({ length: ROUNDS }, round)), found: found / MATCHES };
}

for (const size of SIZES) {
  const { table, ms } = tableOf(Array.from({ length: size }, (_, i) => expressionOf(i)));
  const requests = Array.from({ length: 1_000 }, (_, n) => request((n * 7_919) % size, n));
  const { ns, found } = measure(table, requests);
  const edits: number[] = [];
  for (let i = 0; i < 21; i++) {
    const start = performance.now();
    const edit = table.edit();
    edit.add(route(i % size, `${expressionOf(i % size)} && http.method != "X${i}"`), i);
    edit.done();
    edits.push(performance.now() - start);
  }
  console.log(
    `${String(size).padStart(6)} expressions  ${ns.toFixed(0).padStart(5)} ns/match  (${(found * 100).toFixed(0)} % found; ` +
      `built in ${ms.toFixed(0)} ms, one replaced in ${median(edits).toFixed(2)} ms)`,
  );
}

const byHeader = tableOf(Array.from({ length: 100 }, (_, i) => `http.headers.x_tenant == "${i}"`)).table;
const last = { ...request(1, 1), headerValues: () => ["0"] };
console.log(`   100 expressions on a header alone  ${measure(byHeader, [last]).ns.toFixed(0)} ns/match`);
