/** prometheus: what the Status API's /metrics says after requests, and that what is off says nothing. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { send } from "../support/client.ts";
import type { Gateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { PLACEMENTS, type Placement, startPlaced } from "./placements.ts";

/** A metric's samples: labels as sorted text, to value. */
function samples(text: string, metric: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][a-zA-Z0-9_:]*)\{(.*)\} (\S+)$/.exec(line);
    if (match?.[1] !== metric) continue;
    const labels = [...(match[2] as string).matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(
      ([, k, v]) => `${k}=${v}`,
    );
    found.set(labels.sort().join(" "), Number(match[3]));
  }
  return found;
}

/** How the samples of a plugin placed there are shown: a guest's carry the gateway's word for whose they are. */
function shownAs(placement: Placement) {
  if (placement.title === "native") return { metric: (name: string) => name, labels: (text: string) => text };
  return {
    metric: (name: string) => {
      const isHistogram = /_ms(_bucket|_count)?$/.test(name);
      return `gatehouse_guest_${isHistogram || name.endsWith("_total") ? name : `${name}_total`}`;
    },
    labels: (text: string) => [...text.split(" "), "plugin=prometheus"].sort().join(" "),
  };
}

for (const placement of PLACEMENTS) {
  const shown = shownAs(placement);
  describe(`prometheus, ${placement.title}`, () => {
    let origin: Origin;
    let gateway: Gateway;

    before(async () => {
      origin = await startOrigin();
      const name = "prometheus";
      gateway = await startPlaced(placement, {
        origin,
        routes: {
          all: [
            {
              name,
              config: {
                status_code_metrics: true,
                latency_metrics: true,
                bandwidth_metrics: true,
                per_consumer: true,
              },
            },
            { name: "key-auth", config: { anonymous: "guest" } },
          ],
          codes: [
            { name, config: { status_code_metrics: true } },
            { name: "request-termination", config: { trigger: "stop" } },
          ],
          off: [{ name }],
        },
        entities: {
          consumers: [{ username: "guest" }, { username: "alice", keyauth_credentials: [{ key: "a" }] }],
        },
      });
    });
    after(async () => {
      await gateway?.[Symbol.asyncDispose]();
      await origin?.close();
    });

    /** Samples of a metric once it has counted what it must: log hooks run after the client has its answer. */
    async function eventually(metric: string, labels: string, value: number): Promise<void> {
      let last: Map<string, number> = new Map();
      for (let attempt = 0; attempt < 200; attempt++) {
        const answer = await send(`${gateway.statusUrl}/metrics`);
        assert.equal(answer.status, 200);
        last = samples(answer.body, shown.metric(metric));
        if (last.get(shown.labels(labels)) === value) return;
      }
      assert.fail(`${metric}{${labels}} is not ${value}: ${JSON.stringify([...last])}`);
    }

    it("requests are counted by service, route, status, source, workspace and consumer", async () => {
      await send(`${gateway.url}/all`);
      await send(`${gateway.url}/all?apikey=a`);
      await send(`${gateway.url}/all?apikey=a`, { method: "POST", body: "x".repeat(1000) });
      const of = (consumer: string) =>
        `code=200 consumer=${consumer} route=all service=upstream source=service workspace=default`;
      await eventually("kong_http_requests_total", of("guest"), 1);
      await eventually("kong_http_requests_total", of("alice"), 2);
    });

    it("an answer of a plugin is counted as Kong's own, without a consumer unless asked for", async () => {
      await send(`${gateway.url}/codes?stop`);
      const labels = "code=503 consumer= route=codes service=upstream source=kong workspace=default";
      await eventually("kong_http_requests_total", labels, 1);
    });

    it("latencies are histograms with Kong's buckets", async () => {
      const labels = "route=all service=upstream workspace=default";
      for (const metric of ["kong_kong_latency_ms", "kong_upstream_latency_ms", "kong_request_latency_ms"])
        await eventually(`${metric}_count`, labels, 3);
      const text = (await send(`${gateway.statusUrl}/metrics`)).body;
      const buckets = (metric: string) =>
        [...samples(text, shown.metric(`${metric}_bucket`)).keys()]
          .map((key) => /le=(\S+)/.exec(key)?.[1])
          .join(",");
      assert.equal(
        buckets("kong_kong_latency_ms"),
        "1,2,5,7,10,15,20,30,50,75,100,200,500,750,1000,3000,6000,+Inf",
      );
      assert.equal(
        buckets("kong_request_latency_ms"),
        "25,50,80,100,250,400,700,1000,2000,5000,10000,30000,60000,+Inf",
      );
    });

    it("bytes are counted in both directions", async () => {
      const text = (await send(`${gateway.statusUrl}/metrics`)).body;
      const bytes = samples(text, shown.metric("kong_bandwidth_bytes"));
      for (const direction of ["egress", "ingress"]) {
        const labels = `consumer=alice direction=${direction} route=all service=upstream workspace=default`;
        const count = bytes.get(shown.labels(labels)) ?? 0;
        assert.ok(count >= 1000, `${labels}: ${count}`);
      }
    });

    it("groups that are off, and requests without a route, leave no trace", async () => {
      await send(`${gateway.url}/off`);
      await send(`${gateway.url}/no-such-route`);
      // A request that is counted, after those that must not be.
      await send(`${gateway.url}/codes`);
      const labels = "code=200 consumer= route=codes service=upstream source=service workspace=default";
      await eventually("kong_http_requests_total", labels, 1);
      const text = (await send(`${gateway.statusUrl}/metrics`)).body;
      assert.ok(!text.includes('route="off"'));
      assert.ok(!text.includes('code="404"'));
      assert.ok(!/kong_kong_latency_ms_count\{[^}]*route="codes"/.test(text));
    });
  });
}
