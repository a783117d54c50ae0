/** A gateway with very many routes: loaded, each kind found, one replaced, a broken change refused. */
import assert from "node:assert/strict";
import { send } from "../support/client.ts";
import { startGateway } from "../support/gateway.ts";
import { startOrigin } from "../support/origin.ts";

const HOSTS = 1000;

/** The `i`-th route: paths, hosts and paths, methods, and one pattern in a hundred. */
function route(i: number, version: number): object {
  const name = `r${i}`;
  const changing = i === 7 ? { tags: [`v${version}`] } : {};
  if (i % 100 === 99) return { name, paths: [`~/pattern-${i}/[0-9]+$`] };
  if (i % 3 === 0) return { name, hosts: [`h${i % HOSTS}.test`], paths: [`/of-host/${i}/`] };
  if (i % 3 === 1) return { name, paths: [i === 7 ? `/changing-${version}/` : `/plain/${i}/`], ...changing };
  return { name, methods: ["PUT"], paths: [`/put/${i}/`] };
}

/** What asks for the `i`-th route. */
function request(i: number, version: number): [path: string, method: string, host: string] {
  if (i % 100 === 99) return [`/pattern-${i}/12`, "GET", "any.test"];
  if (i % 3 === 0) return [`/of-host/${i}/x`, "GET", `h${i % HOSTS}.test`];
  if (i % 3 === 1) return [i === 7 ? `/changing-${version}/` : `/plain/${i}/x`, "GET", "any.test"];
  return [`/put/${i}/x`, "PUT", "any.test"];
}

export interface Figures {
  /** Milliseconds from the start of the process until it serves, and from a changed file's text to being served. */
  readonly startMs: number;
  readonly changeMs: number;
}

/**
 * Starts a gateway with so many routes, and proves that it serves them.
 * @throws {AssertionError} if it does not
 */
export async function serveManyRoutes(count: number): Promise<Figures> {
  await using origin = await startOrigin(({ url, headers }, response) => {
    response.end(
      `${url} ${headers.find(([name]) => name.toLowerCase() === "x-kong-request-id") ? "proxied" : ""}`,
    );
  });
  const config = (version: number, broken = false) => ({
    _format_version: "3.0",
    services: [
      {
        name: "s",
        url: origin.url,
        routes: Array.from({ length: count }, (_, i) => ({
          ...route(i, version),
          strip_path: false,
          ...(broken && i === count - 1 && { paths: ["~/a(?=b)"] }),
        })),
      },
    ],
  });
  const began = performance.now();
  await using gateway = await startGateway({ config: config(0), settings: { data_threads: "2" } });
  const startMs = performance.now() - began;
  const found = async (i: number, version: number) => {
    const [path, method, host] = request(i, version);
    const answer = await send(`${gateway.url}${path}`, { method, headers: { host } });
    assert.equal(answer.status, 200, `route ${i}: ${answer.body}`);
    assert.equal(answer.body, `${path} proxied`);
  };
  const lookAround = async (version: number) => {
    for (let i = 0; i < count; i += Math.ceil(count / 200)) await found(i, version);
    for (const i of [7, 99, count - 1]) await found(i, version);
  };
  await lookAround(0);
  const changed = performance.now();
  await gateway.reload(config(1));
  const changeMs = performance.now() - changed;
  await lookAround(1);
  assert.equal((await send(`${gateway.url}/changing-0/`)).status, 404);
  await assert.rejects(gateway.reload(config(2, true)), /400/);
  await lookAround(1);
  return { startMs, changeMs };
}
