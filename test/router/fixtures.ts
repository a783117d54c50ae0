/** Routes and requests of which a test states only what it is about. */

import type { MatchInput, RouteInput } from "../../src/router/router.ts";
import { Router } from "../../src/router/router.ts";

/** A route named by one word, which is its id and its data. */
export type RouteRow = Partial<RouteInput> & { id: string };
export type RequestRow = Partial<Omit<MatchInput, "headerValues">> & {
  headers?: Record<string, readonly string[]>;
};

export function route(fields: RouteRow): RouteInput {
  return {
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

export function request({ headers = {}, ...fields }: RequestRow): MatchInput {
  return {
    method: "GET",
    host: "",
    port: 8000,
    path: "/",
    scheme: "http",
    sni: null,
    query: "",
    clientIp: "127.0.0.1",
    clientPort: 40_000,
    localIp: "127.0.0.1",
    headerValues: (name) => headers[name] ?? [],
    ...fields,
  };
}

export const routerOf = (...rows: RouteRow[]): Router<string> =>
  Router.build(rows.map((row) => ({ route: route(row), data: row.id })));

/** The name of the winning route, or null. */
export const winner = (router: Router<string>, row: RequestRow): string | null =>
  router.match(request(row))?.data ?? null;
