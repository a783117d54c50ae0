/**
 * What `gatehouse config` works on: a running gateway by its Admin API, or with `--offline` the store of one that does
 * not run.
 */
import { isObject } from "@gatehouse/sdk";
import type { PlanRequest } from "../control/plan.ts";
import type { ConfigError } from "../declarative/errors.ts";
import { AdminApi, type AdminOptions, messageOf, Unreachable } from "./admin-api.ts";
import { Unusable } from "./configuration-file.ts";
import { isPlan, type ShownPlan } from "./plan-text.ts";

export type Mode = "sync" | "merge";

export interface TargetOptions extends AdminOptions {
  readonly workspace?: string;
  readonly selectTag: readonly string[];
  readonly offline?: boolean;
  /** Path of a settings file, with `offline`. */
  readonly settings?: string;
}

export interface Target extends AsyncDisposable {
  /** `hash` names the configuration that the plan is for. */
  plan(file: string, bytes: Uint8Array, mode: Mode): Promise<{ plan: ShownPlan; hash: string }>;
  /** @throws {Refused} the configuration has changed since it was planned. */
  apply(file: string, bytes: Uint8Array, mode: Mode, hash: string): Promise<ShownPlan>;
  dump(): Promise<string>;
}

/** The gateway, or whoever reads the file, has something against it. */
export class Refused extends Error {
  readonly errors: readonly ConfigError[];

  constructor(message: string, errors: readonly ConfigError[] = []) {
    super(message);
    this.errors = errors;
  }
}

/** Planning ten thousand entities takes seconds, hashing as many new passwords minutes. */
const TIMEOUT_MS = 600_000;

/** @param mayMake whether a store may be made where none is. */
export async function openTarget(options: TargetOptions, mayMake: boolean): Promise<Target> {
  if (options.offline !== true) {
    if (options.settings !== undefined)
      throw new Unusable("--settings goes with --offline; a gateway that is asked has its own");
    return new Running(await AdminApi.open(options), options);
  }
  if (options.admin !== undefined || options.token !== undefined)
    throw new Unusable(
      "--admin and --token are for a gateway that runs, and --offline for one that does not",
    );
  const { Kept } = await import("./offline.ts");
  return Kept.open(options, mayMake);
}

class Running implements Target {
  readonly #api: AdminApi;
  readonly #options: TargetOptions;

  constructor(api: AdminApi, options: TargetOptions) {
    this.#api = api;
    this.#options = options;
  }

  async plan(file: string, bytes: Uint8Array, mode: Mode): Promise<{ plan: ShownPlan; hash: string }> {
    const body = await this.#ask("POST", this.#path("plan", { mode }), bytes, file);
    const hash = body.configuration_hash;
    if (!isPlan(body) || typeof hash !== "string") throw this.#stranger();
    return { plan: body, hash };
  }

  async apply(file: string, bytes: Uint8Array, mode: Mode, hash: string): Promise<ShownPlan> {
    const path = this.#path("sync", { mode, configuration_hash: hash });
    const body = await this.#ask("POST", path, bytes, file);
    if (!isPlan(body)) throw this.#stranger();
    return body;
  }

  async dump(): Promise<string> {
    const { config } = await this.#ask("GET", this.#path("dump", {}));
    if (typeof config !== "string") throw this.#stranger();
    return config;
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #stranger(): Unreachable {
    return new Unreachable(`${this.#api.origin} is no Admin API that this version knows`);
  }

  #path(what: string, query: Record<string, string>): string {
    const { workspace, selectTag } = this.#options;
    const search = new URLSearchParams(query);
    for (const tag of selectTag) search.append("select_tag", tag);
    const prefix = workspace === undefined ? "" : `${encodeURIComponent(workspace)}/`;
    return `${prefix}config/${what}${search.size === 0 ? "" : `?${search}`}`;
  }

  async #ask(
    method: "GET" | "POST",
    path: string,
    bytes?: Uint8Array,
    file = "",
  ): Promise<Record<string, unknown>> {
    const sent = bytes === undefined ? {} : { body: bytes, type: "application/yaml" };
    const answer = await this.#api.ask(method, path, { ...sent, timeoutMs: TIMEOUT_MS });
    const { status, body } = answer;
    if (status === 200 && body !== null) return body;
    if (status === 429 || status >= 500) throw new Unreachable(messageOf(answer));
    if (status === 404)
      throw new Refused(`${this.#api.origin} knows no such workspace, or is not an Admin API (404)`);
    const errors = Array.isArray(body?.errors) ? body.errors.filter(isConfigError) : [];
    throw await refused(file, errors, messageOf(answer));
  }
}

/** Every error with its place, or what was said of them all. */
export async function refused(
  file: string,
  errors: readonly ConfigError[],
  message: string,
): Promise<Refused> {
  const { formatConfigErrors } = await import("../declarative/errors.ts");
  const placed = errors.map((error) => ({ ...error, file }));
  return new Refused(placed.length === 0 ? message : formatConfigErrors(placed), placed);
}

/** Whoever answers may be anybody: what is printed must be there. */
function isConfigError(error: unknown): error is ConfigError {
  if (!isObject(error)) return false;
  const isText = (name: string) => typeof error[name] === "string";
  const isTextOrNull = (name: string) => error[name] === null || isText(name);
  return (
    ["line", "column"].every((name) => typeof error[name] === "number") &&
    ["field", "message"].every(isText) &&
    ["entity", "name", "workspace", "hint", "found"].every(isTextOrNull)
  );
}

/** What a command was told to select, as the control plane takes it. */
export function requestOf({ workspace, selectTag }: TargetOptions, text: string, mode: Mode): PlanRequest {
  return { text, workspace: workspace ?? null, tags: selectTag, removes: mode === "sync", noTenants: null };
}
