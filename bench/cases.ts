/**
 * What is measured: which variants meet in a case, under which load, and the bars that the gateway is held to.
 */
import { GUEST_MARK, gatewayPlain, gatewayPolicy, gatewayPolicyAndIsolate } from "./gateway.ts";
import { POLICY_HEADERS } from "./proof.ts";
import {
  fastifyHttpProxy,
  haproxy,
  httpProxy3,
  nginx,
  nginxLua,
  nodeUndici,
  type Variant,
} from "./variants.ts";

export interface Case {
  name: string;
  title: string;
  work: "plain" | "policy";
  variants: Variant[];
  /** Ratios are this variant's value over each other's. */
  subject: string;
  path: string;
  headers: Record<string, string>;
  connections: number;
  /** closed: as fast as answers come. half: a constant rate, half of what the slowest variant can do. */
  load: "closed" | "half";
  /** Response header that a variant's guest sets. */
  marks?: Record<string, string>;
}

const PLAIN = {
  work: "plain",
  subject: gatewayPlain.name,
  path: "/small",
  headers: {},
  connections: 64,
  load: "closed",
} as const;
const POLICY = { ...PLAIN, work: "policy", headers: POLICY_HEADERS } as const;
const MARKS = { [gatewayPolicyAndIsolate.name]: GUEST_MARK };

export const CASES: Case[] = [
  {
    ...PLAIN,
    name: "plain",
    title: "No plugins, small answer, 64 connections",
    variants: [gatewayPlain, nginx, haproxy, nodeUndici, fastifyHttpProxy, httpProxy3],
  },
  {
    ...POLICY,
    name: "policy",
    title: "key-auth + rate-limiting + both transformers, small answer, 64 connections",
    variants: [gatewayPolicy, nginxLua],
  },
  {
    ...POLICY,
    name: "guest",
    title: "The policy with and without one isolate guest, 64 connections",
    variants: [gatewayPolicyAndIsolate, gatewayPolicy],
    subject: gatewayPolicyAndIsolate.name,
    marks: MARKS,
  },
  {
    ...POLICY,
    name: "guest-latency",
    title: "The policy with and without one isolate guest, 1 connection",
    variants: [gatewayPolicyAndIsolate, gatewayPolicy],
    subject: gatewayPolicyAndIsolate.name,
    connections: 1,
    marks: MARKS,
  },
  {
    ...PLAIN,
    name: "latency",
    title: "No plugins, small answer, 1 connection",
    variants: [gatewayPlain, nginx, haproxy, nodeUndici],
    connections: 1,
  },
  {
    ...POLICY,
    name: "half-load",
    title: "The policy at a constant rate, half of what the slower one can do, 64 connections",
    variants: [gatewayPolicy, nginxLua],
    load: "half",
  },
  {
    ...PLAIN,
    name: "body-100k",
    title: "No plugins, 100 KB answer, 64 connections",
    variants: [gatewayPlain, nginx, haproxy, nodeUndici],
    path: "/100k",
  },
];

export interface Bar {
  case: string;
  against: string;
  /** Of the subject over (or, for p50-added, minus) the other variant. */
  metric: "rps-ratio" | "p99-ratio" | "p50-added-us";
  atLeast?: number;
  atMost?: number;
}

export const BARS: Bar[] = [
  { case: "plain", against: nginx.name, metric: "rps-ratio", atLeast: 0.6 },
  { case: "plain", against: fastifyHttpProxy.name, metric: "rps-ratio", atLeast: 3 },
  { case: "policy", against: nginxLua.name, metric: "rps-ratio", atLeast: 0.7 },
  { case: "guest", against: gatewayPolicy.name, metric: "rps-ratio", atLeast: 0.5 },
  { case: "guest-latency", against: gatewayPolicy.name, metric: "p50-added-us", atMost: 100 },
  { case: "half-load", against: nginxLua.name, metric: "p99-ratio", atMost: 2 },
];
