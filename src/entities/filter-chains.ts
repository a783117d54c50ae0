/** filter_chains: proxy-wasm filters of a service or a route. Fields and rules are Kong's. */
import { any, array, boolean, foreign, record, string } from "@gatehouse/sdk";
import { id, MAX_TEXT, name, tags, timestamp } from "./fields.ts";

export const filterChainSchema = record(
  {
    id: id(),
    name: name({ description: "The name of the chain." }),
    enabled: boolean({ required: true, default: true, description: "Whether its filters run." }),
    route: foreign("routes", { unique: true, onDelete: "cascade" }),
    service: foreign("services", { unique: true, onDelete: "cascade" }),
    filters: array(
      record({
        name: string({ required: true, lenMax: MAX_TEXT }),
        enabled: boolean({ required: true, default: true }),
        config: any(),
      }),
      { required: true, lenMin: 1, description: "What runs, in order." },
    ),
    created_at: timestamp(),
    updated_at: timestamp(),
    tags: tags(),
  },
  { checks: [{ kind: "only_one_of", fields: ["service", "route"] }] },
);
