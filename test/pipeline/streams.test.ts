/**
 * Bodies that no plugin looks at pass through in constant memory, whichever way, however their end is known, however
 * slow their reader. The same for as long as one likes: bodies-long.ts.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Gateway, startGateway } from "../support/gateway.ts";
import { forgetPeak, memoryOf, type Stream, StreamOrigin, stream } from "./streams.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
/** What a gateway may take beyond what it has when it is warm and has nothing to do. */
const GROWTH_MAX = 32 * MIB;
const WARM_BYTES = 128 * MIB;

const fast = (way: Stream["way"], framing: Stream["framing"]): Stream => ({ way, framing, restAfter: null });
const FAST: readonly Stream[] = [
  fast("down", "length"),
  fast("up", "length"),
  fast("down", "chunked"),
  fast("up", "chunked"),
  fast("down", "close"),
];
const SLOW: readonly Stream[] = FAST.map((each) => ({ ...each, restAfter: 64 * KIB }));

const named = ({ way, framing, restAfter }: Stream): string =>
  `${way === "up" ? "to the upstream" : "to the client"}, ${framing}, read ${restAfter === null ? "at once" : "slowly"}`;

describe("bodies that pass through", () => {
  let origin: StreamOrigin;
  let gateway: Gateway;
  let idle: number;

  before(async () => {
    origin = await StreamOrigin.start();
    gateway = await startGateway({
      config: {
        _format_version: "3.0",
        services: [{ name: "s", url: origin.url, routes: [{ name: "r", paths: ["/"], strip_path: false }] }],
      },
      settings: { data_threads: "1", proxy_listen: "127.0.0.1:0, 127.0.0.1:0 ssl" },
    });
    for (const each of FAST) await stream(gateway.ports.proxy, each, WARM_BYTES);
    idle = (await memoryOf(gateway.pid)).now;
  });
  after(async () => {
    await gateway?.[Symbol.asyncDispose]();
    await origin?.[Symbol.asyncDispose]();
  });

  async function grows(work: () => Promise<void>): Promise<void> {
    await forgetPeak(gateway.pid);
    await work();
    const growth = (await memoryOf(gateway.pid)).peak - idle;
    assert.ok(growth <= GROWTH_MAX, `${(growth / MIB).toFixed(1)} MiB over idle`);
  }

  for (const [streams, bytes] of [
    [FAST, 384 * MIB],
    [SLOW, 24 * MIB],
  ] as const)
    for (const each of streams)
      it(`${bytes / MIB} MiB ${named(each)}: every byte arrives, in constant memory`, () =>
        grows(async () => {
          assert.equal(await stream(gateway.ports.proxy, each, bytes), bytes);
        }));

  for (const each of [...FAST, ...SLOW].filter(({ framing }) => framing !== "close"))
    it(`24 MiB over TLS ${named(each)}: every byte arrives`, async () => {
      const { proxy_ssl: port } = gateway.ports;
      assert.equal(await stream(port, each, 24 * MIB, true), 24 * MIB);
    });

  it("64 of them at once, all read slowly, take no more than that together", async () => {
    const bytes = 2 * MIB;
    const all = Array.from({ length: 64 }, (_, i) => SLOW[i % SLOW.length] as Stream);
    const together = async () => {
      const arrived = await Promise.all(all.map((each) => stream(gateway.ports.proxy, each, bytes)));
      assert.deepEqual(new Set(arrived), new Set([bytes]));
    };
    // Warm is what has done it before: the streams over TLS and the first 64 connections leave memory in reserve.
    await together();
    idle = (await memoryOf(gateway.pid)).now;
    await grows(together);
  });
});
