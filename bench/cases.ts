/**
 * What is measured: which variants meet in a case, and under which load. Bars are in bars.ts.
 *
 * A full sitting takes the rounds and seconds written here, and has to stay below 40 minutes: bars get five rounds,
 * what only informs gets three.
 */
import {
  GUEST_MARK,
  type GuestRuntime,
  gatewayPlain,
  gatewayPolicy,
  gatewayPolicyAnd,
  gatewayReloading,
  gatewayTls,
  gatewayWithRoutes,
  gatewayWithThreads,
  gatewayWriting,
} from "./gateway.ts";
import { POLICY_HEADERS, type Work } from "./proof.ts";
import {
  fastifyHttpProxy,
  haproxy,
  haproxyTlsListener,
  httpProxy3,
  nginx,
  nginxLua,
  nginxReloading,
  nginxTlsListener,
  nginxWithRoutes,
  nodeUndici,
  type Variant,
} from "./variants.ts";

export const GROUPS = ["core", "bodies", "connections", "tls", "routes", "reload", "guest"] as const;
export type Group = (typeof GROUPS)[number];

export interface Case {
  name: string;
  group: Group;
  title: string;
  work: Work;
  variants: Variant[];
  /** Ratios are this variant's value over each other's. */
  subject: string;
  path: string;
  headers: Record<string, string>;
  /** POST with a body of so many bytes; 0 is GET. */
  bodyBytes: number;
  tls: boolean;
  connections: number;
  /**
   * closed: as fast as answers come. half: a constant rate, half of what the slowest variant can do.
   * handshakes: as closed, each request after a full TLS handshake.
   */
  load: "closed" | "half" | "handshakes";
  rounds: number;
  seconds: number;
  /** Why requests/s and latency of the case say nothing here; CPU per request does. */
  cpuOnly?: string;
  /** Response header that a variant's guest sets. */
  marks?: Record<string, string>;
}

const PLAIN = {
  group: "core",
  work: "plain",
  subject: gatewayPlain.name,
  path: "/small",
  headers: {} as Record<string, string>,
  bodyBytes: 0,
  tls: false,
  connections: 64,
  load: "closed",
  rounds: 3,
  seconds: 3,
} as const;
const POLICY = { ...PLAIN, work: "policy", headers: POLICY_HEADERS } as const;
const FULL = { rounds: 5, seconds: 4 } as const;
const PEERS = [gatewayPlain, nginx, haproxy, nodeUndici];
const CLOSE = { Connection: "close" };

const TLS = {
  ...PLAIN,
  group: "tls",
  tls: true,
  variants: [gatewayTls, nginxTlsListener, haproxyTlsListener] as Variant[],
} as const;

const FEW = gatewayWithRoutes(10);
const MANY = gatewayWithRoutes(10_000);
const WRITING = gatewayWriting(10_000);
const ONE_THREAD = gatewayWithThreads(1);
const TWO_THREADS = gatewayWithThreads(2);

const bodies: Case[] = [
  { size: "1k", bytes: 1024, title: "1 KB" },
  { size: "100k", bytes: 102_400, title: "100 KB" },
  { size: "1m", bytes: 1_048_576, title: "1 MB" },
].flatMap(({ size, bytes, title }) => [
  {
    ...PLAIN,
    group: "bodies",
    name: `body-${size}`,
    title: `No plugins, an answer of ${title}, 64 connections`,
    variants: PEERS,
    path: `/${size}`,
  },
  {
    ...PLAIN,
    group: "bodies",
    name: `upload-${size}`,
    title: `No plugins, POST with a body of ${title}, 64 connections`,
    variants: PEERS,
    path: "/upload",
    bodyBytes: bytes,
  },
]);

/** What clients send beside Host and the policy's two, so that a request has 10 fields or 60. */
function fields(count: number): Record<string, string> {
  const own = { ...POLICY_HEADERS, "User-Agent": "a client of the bench" };
  const more = Array.from({ length: count - 1 - Object.keys(own).length }, (_, i) => i);
  return {
    ...own,
    ...Object.fromEntries(more.map((i) => [`X-Field-${i}`, `value ${i} of an ordinary length`])),
  };
}

function guestCases(runtime: GuestRuntime): Case[] {
  const guest = gatewayPolicyAnd(runtime);
  const common = {
    ...POLICY,
    group: "guest",
    variants: [guest, gatewayPolicy],
    subject: guest.name,
    marks: { [guest.name]: GUEST_MARK },
  } as const;
  const what = `The policy with and without one ${runtime} guest`;
  return [
    {
      ...common,
      variants: [...common.variants],
      name: `guest-${runtime}`,
      title: `${what}, 10 request headers, 64 connections`,
      headers: fields(10),
    },
    {
      ...common,
      variants: [...common.variants],
      name: `guest-${runtime}-60`,
      title: `${what}, 60 request headers, 64 connections`,
      headers: fields(60),
    },
    {
      ...common,
      variants: [...common.variants],
      name: `guest-${runtime}-latency`,
      title: `${what}, 10 request headers, 1 connection`,
      headers: fields(10),
      connections: 1,
    },
  ];
}

export const CASES: Case[] = [
  {
    ...PLAIN,
    ...FULL,
    name: "plain",
    title: "No plugins, small answer, 64 connections",
    variants: [gatewayPlain, nginx, haproxy, nodeUndici, fastifyHttpProxy, httpProxy3],
  },
  {
    ...POLICY,
    ...FULL,
    name: "policy",
    title: "key-auth + rate-limiting + both transformers, small answer, 64 connections",
    variants: [gatewayPolicy, nginxLua],
  },
  {
    ...POLICY,
    ...FULL,
    name: "half-load",
    title: "The policy at a constant rate, half of what the slower one can do, 64 connections",
    variants: [gatewayPolicy, nginxLua],
    load: "half",
    seconds: 5,
  },
  {
    ...PLAIN,
    name: "half-load-plain",
    title: "No plugins at a constant rate, half of what the slowest one can do, 64 connections",
    variants: PEERS,
    load: "half",
    seconds: 5,
  },
  {
    ...PLAIN,
    seconds: 4,
    name: "threads",
    title: "No plugins, 64 connections: two data threads and one, each free to use the same cores",
    variants: [TWO_THREADS, ONE_THREAD],
    subject: TWO_THREADS.name,
  },
  ...bodies,
  {
    ...POLICY,
    group: "bodies",
    name: "policy-100k",
    title: "The policy, an answer of 100 KB, 64 connections",
    variants: [gatewayPolicy, nginxLua],
    path: "/100k",
  },
  {
    ...PLAIN,
    group: "connections",
    name: "latency",
    title: "No plugins, small answer, 1 connection",
    variants: PEERS,
    connections: 1,
  },
  {
    ...PLAIN,
    group: "connections",
    name: "connections-1000",
    title: "No plugins, small answer, 1,000 connections",
    variants: PEERS,
    connections: 1000,
  },
  {
    ...POLICY,
    group: "connections",
    name: "policy-1000",
    title: "The policy, small answer, 1,000 connections",
    variants: [gatewayPolicy, nginxLua],
    connections: 1000,
  },
  {
    ...PLAIN,
    group: "connections",
    name: "new-connection",
    title: "No plugins, small answer, a new connection for each request, 64 at a time",
    variants: PEERS,
    headers: CLOSE,
  },
  {
    ...TLS,
    ...FULL,
    name: "tls",
    title: "TLS 1.3 from the client, no plugins, small answer, 64 connections kept",
  },
  {
    ...TLS,
    name: "tls-100k",
    title: "TLS 1.3 from the client, no plugins, an answer of 100 KB, 64 connections kept",
    path: "/100k",
  },
  {
    ...TLS,
    name: "tls-new",
    title: "TLS 1.3, a new connection with a full handshake for each request, 16 at a time",
    connections: 16,
    load: "handshakes",
    cpuOnly: "the client's half of a handshake costs more than the server's, so its core is the limit",
  },
  {
    ...TLS,
    name: "tls-resumed",
    title: "TLS 1.3, a new connection with a resumed session for each request, 16 at a time",
    headers: CLOSE,
    connections: 16,
    cpuOnly: "the client's half of a handshake costs more than the server's, so its core is the limit",
  },
  {
    ...PLAIN,
    ...FULL,
    group: "routes",
    work: "routes",
    name: "routes",
    title: "No plugins, requests spread over all routes, 64 connections",
    variants: [MANY, FEW, nginxWithRoutes(10_000), nginxWithRoutes(10)],
    subject: MANY.name,
  },
  {
    ...PLAIN,
    group: "reload",
    work: "routes",
    name: "reload",
    title:
      "10,000 routes at a constant rate, one route replaced each second (a write of it, or the whole anew), and the same without",
    variants: [WRITING, gatewayReloading(10_000), MANY, nginxReloading(10_000), nginxWithRoutes(10_000)],
    subject: WRITING.name,
    path: "/r/5000/small",
    load: "half",
    seconds: 8,
  },
  ...guestCases("isolate"),
  ...guestCases("extism"),
];

/** What a run takes besides warming and measuring: the yardstick, the start, the proof, the stop. */
const AROUND_SECONDS = 1.4;
const PROBE_SECONDS = 2;

/** Minutes that these cases take. */
export function estimatedMinutes(cases: readonly Case[]): number {
  let seconds = 0;
  for (const { variants, rounds, seconds: measured, load } of cases) {
    for (const { warmSeconds } of variants) {
      const around = AROUND_SECONDS + warmSeconds;
      // The open-loop client warms itself as well.
      seconds += rounds * (around + measured + (load === "half" ? 2 : 0));
      if (load === "half") seconds += around + PROBE_SECONDS;
    }
  }
  return seconds / 60;
}
