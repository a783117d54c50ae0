/**
 * What finding a route costs: ns per match with 10 to 10,000 routes, and ms to build the index and to change one
 * route in it. The routes mix hosts, paths and methods, some share a host, some are wildcards, one in fifty is a
 * regex; the requests hit every kind and miss now and then.
 *
 *     node bench/router.ts
 */

import { escapePath, normalizePath, upstreamPath } from "../src/router/path.ts";
import type { MatchInput, RouteInput } from "../src/router/router.ts";
import { Router } from "../src/router/router.ts";

const SIZES = [10, 100, 1_000, 10_000];
const BUILD_SIZES = [10_000, 100_000];
const MATCHES = 400_000;
const ROUNDS = 5;
const METHODS = ["GET", "POST", "PUT", "DELETE"];

function route(i: number, fields: Partial<RouteInput>): RouteInput {
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
    ...fields,
  };
}

/** Ten routes share a host; each tenth of the hosts is a wildcard, and each tenth route has no host. */
function routes(count: number): { route: RouteInput; data: number }[] {
  return Array.from({ length: count }, (_, i) => {
    const tenant = Math.floor(i / 10);
    const host = tenant % 10 === 9 ? `*.tenant-${tenant}.example` : `api-${tenant}.example.com`;
    const path = i % 50 === 7 ? `~/v1/items-${i}/(?<id>[0-9]+)/parts` : `/v1/service-${i}/resource`;
    const fields = {
      hosts: i % 10 === 3 ? null : [host],
      paths: i % 10 === 5 ? [path, `/v2/service-${i}`] : [path],
      methods: i % 4 === 0 ? ["GET", "POST"] : null,
    };
    return { route: route(i, fields), data: i };
  });
}

function requests(count: number): MatchInput[] {
  const noHeaders: readonly string[] = [];
  return Array.from({ length: 1_000 }, (_, n) => {
    const i = (n * 7_919) % count;
    const tenant = Math.floor(i / 10);
    const miss = n % 20 === 0;
    const path = i % 50 === 7 ? `/v1/items-${i}/${n}/parts/x` : `/v1/service-${i}/resource/${n}`;
    return {
      method: i % 4 === 0 ? METHODS[n % 2]! : METHODS[n % 4]!,
      host: tenant % 10 === 9 ? `eu.tenant-${tenant}.example` : `api-${tenant}.example.com`,
      port: 8_000,
      path: miss ? `/none/${n}` : path,
      scheme: "http",
      sni: null,
      headerValues: () => noHeaders,
      query: "",
      clientIp: "127.0.0.1",
      clientPort: 40_000,
      localIp: "127.0.0.1",
    };
  });
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Median ns per call of `once` over `inputs`, after warming. */
function measure<I>(inputs: readonly I[], once: (input: I) => unknown): number {
  let sink = 0;
  const round = () => {
    const start = process.hrtime.bigint();
    for (let i = 0; i < MATCHES; i++) if (once(inputs[i % inputs.length]!) !== null) sink++;
    return Number(process.hrtime.bigint() - start) / MATCHES;
  };
  round();
  const result = median(Array.from({ length: ROUNDS }, round));
  return sink >= 0 ? result : 0;
}

for (const size of SIZES) {
  const router = Router.build(routes(size));
  const all = requests(size);
  const found = all.filter((input) => router.match(input) !== null).length;
  const regex = all.filter((input) => input.path.includes("items-"));
  const plain = all.filter((input) => !input.path.includes("items-"));
  const before = process.memoryUsage().heapUsed;
  const ns = measure(all, (input) => router.match(input));
  const grown = process.memoryUsage().heapUsed - before;
  console.log(
    `${String(size).padStart(6)} routes  ${ns.toFixed(0).padStart(5)} ns/match` +
      `  prefix ${measure(plain, (input) => router.match(input)).toFixed(0)}` +
      `  regex ${regex.length === 0 ? "-" : measure(regex, (input) => router.match(input)).toFixed(0)}` +
      `  (${found} of ${all.length} found, heap ${(grown / 1024).toFixed(0)} KiB over the run)`,
  );
}

for (const size of BUILD_SIZES) {
  const input = routes(size);
  const first: number[] = [];
  const changed: number[] = [];
  for (let i = 0; i < 5; i++) {
    const start = performance.now();
    const router = Router.build(input);
    first.push(performance.now() - start);
    const restart = performance.now();
    const edit = router.edit();
    const { route: before, data } = input[i * 1_001]!;
    edit.add({ ...before, paths: ["/changed"] }, data);
    edit.done();
    changed.push(performance.now() - restart);
  }
  console.log(
    `${String(size).padStart(6)} routes  built in ${median(first).toFixed(0)} ms, ` +
      `one of them replaced in ${median(changed).toFixed(3)} ms`,
  );
}

const paths = Array.from({ length: 100 }, (_, i) => `/v1/service-${i}/resource/${i}`);
const encoded = paths.map((path) => `${path}/%7Euser/../caf%C3%A9`);
console.log(
  `normalizePath      ${measure(paths, normalizePath).toFixed(0)} ns plain, ${measure(encoded, normalizePath).toFixed(0)} ns with triplets and dots`,
);
console.log(
  `upstreamPath       ${measure(paths, (path) => upstreamPath("/base", path, "/v1", true)).toFixed(0)} ns stripped`,
);
console.log(`escapePath         ${measure(paths, escapePath).toFixed(0)} ns plain`);
