/** The plugins that come with the gateway and run in its own threads, in the order of their priorities. */
import type { PluginDefinition } from "@gatehouse/sdk";
import correlationId from "./correlation-id.ts";
import cors from "./cors.ts";
import keyAuth from "./key-auth.ts";
import prometheus from "./prometheus.ts";
import rateLimiting from "./rate-limiting.ts";
import requestRecording from "./request-recording.ts";
import requestTermination from "./request-termination.ts";
import requestTransformer from "./request-transformer.ts";
import responseTransformer from "./response-transformer.ts";

export const BUILT_INS: readonly PluginDefinition[] = [
  requestRecording,
  correlationId,
  cors,
  keyAuth,
  rateLimiting,
  requestTransformer,
  responseTransformer,
  prometheus,
  requestTermination,
];
