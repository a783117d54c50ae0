/** The operator's settings in the form in which the pipeline uses them. */

import { join } from "node:path";
import type { PlaneSettings } from "../pipeline/data-plane.ts";
import type { Settings } from "../settings.ts";
import { VERSION } from "../version.ts";

const PRODUCT = `gatehouse/${VERSION}`;

/** Where bodies are that do not stay in memory. */
export const spillDirectory = ({ prefix }: Settings): string => join(prefix, "spill");

export function planeSettings(settings: Settings): PlaneSettings {
  const sends = (name: (typeof settings.headers)[number]) => settings.headers.includes(name);
  return {
    limits: {
      maxHeadBytes: settings.maxHeadBytes,
      maxHeaders: settings.maxHeaders,
      maxUrlBytes: settings.maxUrlBytes,
      headTimeoutMs: settings.clientHeadTimeoutMs,
      bodyTimeoutMs: settings.clientBodyTimeoutMs,
      bodyMinRate: settings.clientBodyMinRate,
      idleTimeoutMs: settings.clientIdleTimeoutMs,
      writeTimeoutMs: settings.clientReadTimeoutMs,
      writeMinRate: settings.clientReadMinRate,
      maxRequests: settings.maxRequestsPerConnection || Number.POSITIVE_INFINITY,
    },
    bodyBufferMaxBytes: settings.bodyBufferMaxBytes,
    maxBodyBytes: settings.clientMaxBodySize,
    headers: {
      proxyLatency: sends("X-Kong-Proxy-Latency"),
      upstreamLatency: sends("X-Kong-Upstream-Latency"),
      responseLatency: sends("X-Kong-Response-Latency"),
      upstreamStatus: sends("X-Kong-Upstream-Status"),
      requestId: sends("X-Kong-Request-Id"),
      requestIdUpstream: settings.headersUpstream.length > 0,
    },
    errorDefaultType: settings.errorDefaultType,
    serverLine: sends("Server") ? `Server: ${PRODUCT}\r\n` : "",
    viaLines: sends("Via") ? [`Via: 1.0 ${PRODUCT}\r\n`, `Via: 1.1 ${PRODUCT}\r\n`] : ["", ""],
  };
}
