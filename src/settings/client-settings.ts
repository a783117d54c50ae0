/** Settings that bound what clients take: time, connections, sizes, and what is held of bodies (docs/clients.md). */
import { integer } from "@gatehouse/sdk";
import { connectionsThatFit } from "./descriptors.ts";
import { MIB, plain, read, timeout } from "./setting.ts";

const rate = (description: string) =>
  plain(integer({ default: 256, between: [0, 2 ** 31 - 1], description }));

export const CLIENT_SETTINGS = {
  client_head_timeout_ms: timeout(
    10_000,
    "Time in which a request's head must arrive, from its first byte; a new connection has as long to begin.",
  ),
  client_body_timeout_ms: timeout(60_000, "Longest pause of a client that sends a request's body."),
  client_body_min_rate: rate(
    "Bytes per second at which a request's body must arrive in the long run, the time aside in which the gateway " +
      "itself does not read; 0 for no bound.",
  ),
  client_read_timeout_ms: timeout(60_000, "Longest pause of a client that takes its response."),
  client_read_min_rate: rate(
    "Bytes per second at which a client must take what waits for it, in the long run; 0 for no bound.",
  ),
  client_idle_timeout_ms: timeout(60_000, "Time that a client's idle connection is kept."),
  max_connections: read(
    integer({
      between: [1, MIB],
      description:
        "Most connections that clients have at the same time, over all data threads; what is beyond is closed at " +
        "once. The default is half of the descriptors that the process may have, up to 65536.",
    }),
    (count) => count ?? connectionsThatFit(),
  ),
  max_connections_per_ip: plain(
    integer({
      between: [0, MIB],
      description:
        "Most connections from one IPv4 address or IPv6 network of 64 bits, `trusted_ips` aside; 0 for no bound. " +
        "The default is half of max_connections.",
    }),
  ),
  max_requests_per_connection: plain(
    integer({
      default: 10_000,
      between: [0, 2 ** 31 - 1],
      description: "Requests after which a client's connection is closed; 0 for no bound.",
    }),
    { aliases: ["nginx_http_keepalive_requests"] },
  ),
  max_head_bytes: plain(
    integer({
      default: 32_768,
      between: [1024, MIB],
      description: "Longest head of a request or response, in bytes.",
    }),
    { bytes: true },
  ),
  max_headers: plain(
    integer({ default: 100, between: [1, 10_000], description: "Most header fields in one head." }),
    { aliases: ["lua_max_req_headers"] },
  ),
  max_url_bytes: plain(
    integer({ default: 16_384, between: [64, MIB], description: "Longest request target, in bytes." }),
    { bytes: true },
  ),
  client_max_body_size: plain(
    integer({
      default: 0,
      between: [0, Number.MAX_SAFE_INTEGER],
      description: "Largest request body in bytes (`8m` and such are understood); 0 for no limit.",
    }),
    { bytes: true, aliases: ["nginx_http_client_max_body_size", "nginx_proxy_client_max_body_size"] },
  ),
  body_buffer_max_bytes: plain(
    integer({
      default: 10 * MIB,
      between: [0, 1024 * MIB],
      description:
        "Largest body, of a request or a response, that is held for plugins that need a whole one.",
    }),
    { bytes: true },
  ),
  body_buffer_memory_bytes: plain(
    integer({
      default: 256 * 1024,
      between: [0, 1024 * MIB],
      description: "Bytes from which on a body that is held is kept in a file under `prefix`, not in memory.",
    }),
    { bytes: true, aliases: ["nginx_http_client_body_buffer_size"] },
  ),
  body_buffer_thread_bytes: plain(
    integer({
      default: 64 * MIB,
      between: [MIB, 1024 * 1024 * MIB],
      description:
        "Bytes of bodies that a data thread holds in memory, small ones and those that plugins made and that are not " +
        "taken yet, beyond which they go to disk as well; and bytes of bodies from disk that its plugins look at at " +
        "the same time, beyond which others wait.",
    }),
    { bytes: true },
  ),
  body_buffer_disk_bytes: plain(
    integer({
      default: 4096 * MIB,
      between: [0, 1024 * 1024 * MIB],
      description:
        "Bytes of bodies that the gateway holds on disk; a body that finds no room is refused with 503.",
    }),
    { bytes: true },
  ),
} as const;
