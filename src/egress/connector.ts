/**
 * The door for every request that the gateway itself makes by undici: what guests fetch, what plugins call, and
 * whatever else a tenant's configuration names by URL. Give it to an `Agent`, `Client` or `Pool` as `connect`.
 *
 * It resolves the name, asks the policy about each address, and connects to one that was allowed, by address; the
 * name is left to TLS (SNI, verification) alone. A redirect is a connection of its own, and comes here again; so
 * does every reconnection. A connection that is kept was checked when it was made: who holds an agent for longer
 * than its policy is in force (`EgressPolicy` objects are replaced when they change), closes it.
 */
import type { Socket } from "node:net";
import type { buildConnector } from "undici";
import { GatewayError } from "../errors.ts";
import type { Resolver } from "../upstream/resolver.ts";
import type { EgressPolicy, Refusal } from "./policy.ts";

export interface EgressConnectorParts {
  /** Asked for at each connection: it may be replaced meanwhile. */
  policy(): EgressPolicy;
  readonly resolver: Pick<Resolver, "resolve">;
  /** An address is refused; `host` is the name that led to it. */
  onRefused?(refusal: Refusal, host: string): void;
  /** Milliseconds for one address; default 10,000. */
  readonly timeoutMs?: number;
  /** PEM of the authorities to trust; null or absent for the runtime's own. */
  readonly ca?: readonly string[] | null;
}

/** Addresses of one name that are tried, one after the other. */
const MAX_TRIED = 3;
/** Addresses of one name that are looked at: an answer may hold thousands. */
const MAX_CHECKED = 16;

/** No address of a host may be connected to. The message tells no address that the caller did not write himself. */
export class EgressRefusedError extends Error {
  readonly code = "egress_refused";
  readonly refusal: Refusal;

  constructor(host: string, refusal: Refusal) {
    super(`the gateway does not connect to '${host}' for this workspace (${refusal.rule})`);
    this.name = "EgressRefusedError";
    this.refusal = refusal;
  }
}

/** The callback hears `EgressRefusedError`, a `GatewayError` of the resolver, or what connecting came to. */
export function egressConnector(parts: EgressConnectorParts): buildConnector.connector {
  const { ca, timeoutMs = 10_000 } = parts;
  let open: buildConnector.connector | null = null;
  const load = async (): Promise<buildConnector.connector> => {
    // Loaded when the first request is made: most gateways make none of their own.
    const { buildConnector: build } = await import("undici");
    return build({
      allowH2: false,
      timeout: timeoutMs,
      ...(ca === null || ca === undefined ? {} : { ca: [...ca] }),
    });
  };
  return (options, callback) => {
    const { hostname, host, protocol, servername } = options;
    const secure = protocol === "https:";
    const name = hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
    const port = options.port === "" ? (secure ? 443 : 80) : Number(options.port);
    // In plain text nobody is asked for by name; undici would look the name up.
    const named = secure
      ? { ...(host === undefined ? {} : { host }), ...(servername ? { servername } : {}) }
      : {};
    const connect = (by: buildConnector.connector, addresses: readonly string[], at: number): void => {
      const place = { hostname: addresses[at] as string, protocol, port: String(port) };
      const done = (...[error, socket]: [Error, null] | [null, Socket]): void => {
        if (error === null) callback(null, socket);
        else if (at + 1 < addresses.length) connect(by, addresses, at + 1);
        else callback(error, null);
      };
      try {
        by({ ...place, ...named }, done);
      } catch (error) {
        callback(error as Error, null); // of certificates that cannot be read, and such
      }
    };
    const begin = async () => {
      const addresses = await allowedAddresses(parts, name, port);
      open ??= await load();
      return [open, addresses] as const;
    };
    void begin().then(
      ([by, addresses]) => connect(by, addresses, 0),
      (error: Error) => callback(error, null),
    );
  };
}

/**
 * Addresses of a host that may be connected to, at least one.
 * @throws {EgressRefusedError} if there is none, and what the resolver throws
 */
export async function allowedAddresses(
  { policy, resolver, onRefused }: Pick<EgressConnectorParts, "policy" | "resolver" | "onRefused">,
  host: string,
  port: number,
): Promise<readonly string[]> {
  const addresses = (await resolver.resolve(host)).slice(0, MAX_CHECKED);
  const inForce = policy();
  let refusal: Refusal | null = null;
  const allowed: string[] = [];
  for (const address of addresses) {
    const wrong = inForce.check(address, port);
    if (wrong === null) allowed.push(address);
    else if (refusal === null) {
      refusal = wrong;
      onRefused?.(wrong, host);
    }
    if (allowed.length === MAX_TRIED) break;
  }
  if (allowed.length > 0) return allowed;
  if (refusal !== null) throw new EgressRefusedError(host, refusal);
  throw new GatewayError("name_resolution", `'${host}' has no address`);
}
