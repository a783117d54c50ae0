/**
 * What the entities may say in Kong's words and this version does not do. It is refused when it is loaded:
 * a rule that is silently ignored is a hole (an expired key that still opens, a route that matches more).
 */

type Refusals = Record<string, string>;
type Judge = (entity: Record<string, unknown>) => Refusals;

const HTTP = ["http", "https"];

function refuse(field: string, what: string, instead: string): Refusals {
  return { [field]: `${what} not served yet by this version; ${instead}` };
}

/** Fields that must stay unset, each with what to do without it. */
function unset(entity: Record<string, unknown>, fields: Readonly<Record<string, string>>): Refusals {
  const out: Refusals = {};
  for (const [field, instead] of Object.entries(fields)) {
    const value = entity[field];
    if (value === null || value === undefined || value === false) continue;
    if (Array.isArray(value) && value.length === 0) continue;
    Object.assign(out, refuse(field, `'${field}' is`, instead));
  }
  return out;
}

function service(entity: Record<string, unknown>): Refusals {
  const protocol = String(entity.protocol);
  return HTTP.includes(protocol) ? {} : refuse("protocol", `protocol '${protocol}' is`, "use http or https");
}

function route(entity: Record<string, unknown>): Refusals {
  const others = (entity.protocols as string[]).filter((protocol) => !HTTP.includes(protocol));
  if (others.length === 0) return {};
  const list = others.map((protocol) => `'${protocol}'`).join(", ");
  return refuse("protocols", `${list} ${others.length > 1 ? "are" : "is"}`, "use http or https");
}

function upstream(entity: Record<string, unknown>): Refusals {
  const out = unset(entity, { use_srv_name: "remove it", client_certificate: "remove it" });
  if (entity.algorithm !== "round-robin")
    Object.assign(out, refuse("algorithm", `algorithm '${entity.algorithm}' is`, "use round-robin"));
  if (entity.hash_on !== "none" && entity.hash_on !== null)
    Object.assign(out, refuse("hash_on", `hash_on '${entity.hash_on}' is`, "use none"));
  const { active, passive } = entity.healthchecks as {
    active: { healthy: { interval: number }; unhealthy: { interval: number } };
    passive: { healthy: { successes: number }; unhealthy: Record<string, unknown> };
  };
  if (active.healthy.interval > 0 || active.unhealthy.interval > 0)
    Object.assign(out, refuse("healthchecks.active", "active health checks are", "set both intervals to 0"));
  const { tcp_failures: tcp, timeouts, http_failures: http } = passive.unhealthy;
  if (tcp !== 0 || timeouts !== 0 || http !== 0)
    Object.assign(out, refuse("healthchecks.passive", "passive health checks are", "set the counters to 0"));
  return out;
}

function keyauthCredential(entity: Record<string, unknown>): Refusals {
  return entity.ttl === 0 ? {} : unset(entity, { ttl: "remove it and delete the credential when it ends" });
}

/** By collection: what is wrong, by dotted field, with a sound entity that asks for what is not there. */
export const NOT_SERVED: Readonly<Record<string, Judge>> = {
  services: service,
  routes: route,
  upstreams: upstream,
  keyauth_credentials: keyauthCredential,
};
