/**
 * Which addresses the gateway may connect to on behalf of a workspace. Asked of resolved addresses alone, and the
 * connection is made to the very address that was asked about: a name that resolves to something else a moment
 * later gains nothing.
 *
 * Two purposes. What is configured (services, targets, URLs of plugins) is the workspace's: in `default`, which is
 * the operator's own, it may lead anywhere; elsewhere never to loopback, link-local, metadata or other special
 * addresses. What a guest asks for is a stranger's in every workspace, and reaches no private address either. The
 * gateway's own listeners are closed to both.
 */
import { type Address, type AddressKind, KIND_WORDS, kindOf, readIp } from "./addresses.ts";
import { Networks } from "./networks.ts";
import type { OwnListeners } from "./own-listeners.ts";

export type Purpose = "configuration" | "guest";

/** Why an address is refused: its kind, or `own_listener`, `denied` by a list, `not_an_address`. */
export type RefusalRule = AddressKind | "own_listener" | "denied" | "not_an_address";

export interface Refusal {
  readonly workspace: string;
  readonly purpose: Purpose;
  readonly rule: RefusalRule;
  readonly address: string;
  readonly port: number;
  /** Names the address: for the operator. */
  readonly reason: string;
  /** What the operator can do. */
  readonly advice: string;
}

/** Lists of a workspace, or of all of them, compiled. */
export interface EgressLists {
  readonly allow: Networks;
  readonly deny: Networks;
  readonly guestAllow: Networks;
}

export const NO_LISTS: EgressLists = {
  allow: Networks.none,
  deny: Networks.none,
  guestAllow: Networks.none,
};

interface PolicyParts {
  /** Name. */
  readonly workspace: string;
  readonly purpose: Purpose;
  /** Whether it may lead anywhere. */
  readonly free: boolean;
  readonly own: OwnListeners;
  /** The operator's for this workspace; they go before those of the settings. */
  readonly workspaceLists: EgressLists;
  readonly lists: EgressLists;
}

/** What guests alone are kept from. */
const GUESTS_ONLY: readonly AddressKind[] = ["private", "shared", "documentation", "benchmarking"];

export class EgressPolicy {
  readonly workspace: string;
  readonly purpose: Purpose;
  readonly #parts: PolicyParts;

  constructor(parts: PolicyParts) {
    this.workspace = parts.workspace;
    this.purpose = parts.purpose;
    this.#parts = parts;
  }

  /** What there is against a connection to an address; null if nothing. Never called for a kept connection. */
  check(address: string, port: number): Refusal | null {
    const read = readIp(address);
    if (read === null)
      return this.#refusal("not_an_address", address, port, `'${address}' is not an IP address`, "");
    if (this.#parts.free) return null;
    const wrong = this.#judge(read, address, port);
    if (wrong !== null) return wrong;
    for (const text of read.carried) {
      const inner = this.#judge({ family: "ipv4", text }, address, port);
      if (inner !== null) return inner;
    }
    return null;
  }

  #judge(read: Pick<Address, "family" | "text">, address: string, port: number): Refusal | null {
    const { own, workspaceLists, lists, purpose } = this.#parts;
    const shown = address === read.text || address.includes(":") ? address : read.text;
    const listener = own.at(read, port);
    if (listener !== null)
      return this.#refusal(
        "own_listener",
        address,
        port,
        `${shown} port ${port} is the gateway's own ${listener}`,
        "no list opens the gateway's own listeners; name another address or port",
      );
    const kind = kindOf(read);
    for (const { allow, deny, guestAllow } of [workspaceLists, lists]) {
      if (deny.has(read, kind))
        return this.#refusal(
          "denied",
          address,
          port,
          `${shown} is in ${deny === lists.deny ? "egress_deny" : "egress.deny of the workspace"}`,
          "take it out of that list, or name another address",
        );
      const opened = purpose === "guest" ? guestAllow : allow;
      // A network that is opened for what lies in it does not open the metadata service, which hands out keys.
      if (kind === "metadata" ? opened.names(read, kind) : opened.has(read, kind)) return null;
    }
    if (kind === null || (purpose === "configuration" && GUESTS_ONLY.includes(kind))) return null;
    const [setting, field] =
      purpose === "guest" ? ["egress_guest_allow", "guest_allow"] : ["egress_allow", "allow"];
    const where = this.workspace === "default" ? "" : `, or to egress.${field} of the workspace`;
    const entry = read.family === "ipv4" ? read.text : address.replace(/%.*/, "");
    return this.#refusal(
      kind,
      address,
      port,
      `${shown} is ${KIND_WORDS[kind]}`,
      `if that is meant, the operator adds '${entry}' to ${setting}${where}`,
    );
  }

  #refusal(rule: RefusalRule, address: string, port: number, reason: string, advice: string): Refusal {
    const { workspace, purpose } = this.#parts;
    return { workspace, purpose, rule, address, port, reason, advice };
  }
}
