/** What the demo serves: an echo upstream, two workspaces, and one plugin of each kind. */
export const ACME = "acme.localhost";
export const GLOBEX = "globex.localhost";

/** The packages that each workspace has uploaded. */
export const UPLOADS = [
  { workspace: "acme", guest: "path-guard" },
  { workspace: "globex", guest: "ts-hello" },
] as const;

/**
 * Kong's declarative format: acme has a key-protected service (native plugins) with a WASM guard; globex greets
 * by a TypeScript plugin. `loop` adds the plugin that never ends to acme's /loop.
 */
export function configuration(echoPort: number, options: { guests: boolean; loop: boolean }): object {
  const service = (name: string, routes: object[], plugins: object[]) => ({
    name,
    url: `http://127.0.0.1:${echoPort}`,
    routes,
    plugins,
  });
  const guest = (name: string, config: object) => (options.guests ? [{ name, config }] : []);
  const loop = options.loop ? [{ name: "infinite-loop@1.0.0" }] : [];
  return {
    _format_version: "3.0",
    workspaces: [
      {
        name: "acme",
        hosts: [ACME],
        egress: { allow: ["127.0.0.1"] },
        services: [
          service(
            "orders",
            [
              { name: "orders", hosts: [ACME], paths: ["/orders"] },
              { name: "loop", hosts: [ACME], paths: ["/loop"], plugins: loop },
            ],
            [
              { name: "key-auth" },
              { name: "rate-limiting", config: { minute: 100_000, policy: "local" } },
              ...guest("path-guard@1.0.0", { deny: ["/orders/internal"] }),
            ],
          ),
        ],
        consumers: [{ username: "ada", keyauth_credentials: [{ key: "ada-secret" }] }],
      },
      {
        name: "globex",
        hosts: [GLOBEX],
        egress: { allow: ["127.0.0.1"] },
        services: [
          service(
            "catalogue",
            [{ name: "catalogue", hosts: [GLOBEX], paths: ["/"] }],
            guest("ts-hello@1.0.0", { name: "Globex" }),
          ),
        ],
      },
    ],
  };
}
