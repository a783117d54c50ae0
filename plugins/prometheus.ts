/**
 * prometheus: counts and measures requests for the Status API's /metrics, under Kong's names.
 * Every group is opt-in, and one that is off costs nothing. Requests that matched no route are not counted.
 */
import { boolean, type Context, definePlugin, type Field, type Hooks, record } from "@gatehouse/sdk";

function group(description: string): Field<boolean, true> {
  return boolean({ default: false, description });
}

/** A group of Kong's that has nothing to report here yet: refused, so that nobody waits for its numbers. */
function missing(what: string): Field<boolean, true> {
  return boolean({
    default: false,
    description: `${what}. Not built yet: only false is accepted.`,
    check: (on) => (on ? "not built yet: set it to false or leave it out" : undefined),
  });
}

const schema = record({
  per_consumer: group("Add the consumer's name to the metrics of status_code_metrics and bandwidth_metrics."),
  status_code_metrics: group("Count requests by status: kong_http_requests_total."),
  latency_metrics: group(
    "Measure times: kong_kong_latency_ms, kong_upstream_latency_ms, kong_request_latency_ms.",
  ),
  bandwidth_metrics: group("Count bytes in and out: kong_bandwidth_bytes."),
  ai_metrics: missing("Requests, cost and tokens of AI providers"),
  upstream_health_metrics: missing("Health of upstream targets: kong_upstream_target_health"),
  wasm_metrics: missing("Metrics that WASM filters define"),
});

const GATEWAY_BUCKETS = [1, 2, 5, 7, 10, 15, 20, 30, 50, 75, 100, 200, 500, 750, 1000, 3000, 6000];
const REQUEST_BUCKETS = [25, 50, 80, 100, 250, 400, 700, 1000, 2000, 5000, 10000, 30000, 60000];

const HELP = {
  requests: "HTTP status codes per consumer/service/route in Kong",
  bandwidth: "Total bandwidth (ingress/egress) throughput in bytes",
  gateway: "Latency added by Kong and enabled plugins for each service/route in Kong",
  upstream: "Latency added by upstream response for each service/route in Kong",
  request: "Total latency incurred during requests for each service/route in Kong",
};

export default definePlugin({
  name: "prometheus",
  version: "1.0.0",
  priority: 13,
  schema,
  create(config, host): Hooks {
    if (!config.status_code_metrics && !config.latency_metrics && !config.bandwidth_metrics) return {};

    return {
      log(ctx) {
        if (ctx.route === null) return;
        const { measures, workspace } = ctx;
        const service = ctx.service === null ? "" : (ctx.service.name ?? ctx.service.host);
        const route = ctx.route.name ?? ctx.route.id;
        const consumer = config.per_consumer ? consumerName(ctx) : "";
        if (config.status_code_metrics) {
          const code = String(ctx.response.status);
          const source = ctx.response.source === "service" ? "service" : "kong";
          const labels = { service, route, code, source, workspace, consumer };
          host.count("kong_http_requests_total", HELP.requests, labels, 1);
        }
        if (config.bandwidth_metrics) {
          const { requestBytes, responseBytes } = measures;
          const ingress = { service, route, direction: "ingress", workspace, consumer };
          const egress = { service, route, direction: "egress", workspace, consumer };
          host.count("kong_bandwidth_bytes", HELP.bandwidth, ingress, requestBytes);
          host.count("kong_bandwidth_bytes", HELP.bandwidth, egress, responseBytes);
        }
        if (config.latency_metrics) {
          const labels = { service, route, workspace };
          const { gatewayMs, upstreamMs, totalMs } = measures;
          if (gatewayMs >= 0)
            host.observe("kong_kong_latency_ms", HELP.gateway, GATEWAY_BUCKETS, labels, gatewayMs);
          if (upstreamMs >= 0)
            host.observe("kong_upstream_latency_ms", HELP.upstream, REQUEST_BUCKETS, labels, upstreamMs);
          host.observe("kong_request_latency_ms", HELP.request, REQUEST_BUCKETS, labels, totalMs);
        }
      },
    };
  },
});

function consumerName({ consumer }: Context): string {
  return consumer === null ? "" : (consumer.username ?? consumer.custom_id ?? "");
}
