/**
 * The WebAssembly side of the Extism ABI, as data: which functions a guest may import, with which signature,
 * and the names that the forge adds to a module. The forge checks modules against it, the engine implements it.
 *
 * A signature is written as parameters, ">", results, with i for i32, I for i64 and F for f64.
 */

import type { GuestGrants } from "../calls/grants.ts";
import type { HostAsk } from "../protocol/engine.ts";

/** The kernel functions of Extism's `extism:host/env`, all 27 of them. */
export const KERNEL_MODULE = "extism:host/env";

const KERNEL_IMPORTS = {
  alloc: "I>I",
  free: "I>",
  length: "I>I",
  length_unsafe: "I>I",
  load_u8: "I>i",
  load_u64: "I>I",
  store_u8: "Ii>",
  store_u64: "II>",
  input_offset: ">I",
  input_length: ">I",
  input_load_u8: "I>i",
  input_load_u64: "I>I",
  output_set: "II>",
  error_set: "I>",
  error_get: ">I",
  config_get: "I>I",
  var_get: "I>I",
  var_set: "II>",
  http_request: "II>I",
  http_status_code: ">i",
  http_headers: ">I",
  log_trace: "I>",
  log_debug: "I>",
  log_info: "I>",
  log_warn: "I>",
  log_error: "I>",
  get_log_level: ">i",
} as const;
export type KernelImport = keyof typeof KERNEL_IMPORTS;

/**
 * Host functions beyond the kernel's. Texts and values are addresses of blocks in Extism's memory; host-functions.ts
 * tells what each of them does.
 */
export const USER_MODULE = "extism:host/user";

const USER_IMPORTS = {
  kv_get: "I>I",
  kv_set: "III>I",
  kv_delete: "I>I",
  secret_get: "I>I",
  metric_count: "IIIF>",
} as const;
export type UserImport = keyof typeof USER_IMPORTS;
export const USER_FUNCTIONS = Object.keys(USER_IMPORTS) as readonly UserImport[];

/** What a guest may wait for, and the imports by which it does. */
const ASKING_IMPORTS: Readonly<Record<string, HostAsk>> = {
  [`${KERNEL_MODULE}.http_request`]: "fetch",
  [`${USER_MODULE}.kv_get`]: "kv",
  [`${USER_MODULE}.kv_set`]: "kv",
  [`${USER_MODULE}.kv_delete`]: "kv",
  [`${USER_MODULE}.secret_get`]: "secret",
};

/**
 * WASI preview 1, all of it: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/witx. wasi.ts tells
 * what each of them does here.
 */
export const WASI_MODULE = "wasi_snapshot_preview1";

const WASI_IMPORTS = {
  args_get: "ii>i",
  args_sizes_get: "ii>i",
  environ_get: "ii>i",
  environ_sizes_get: "ii>i",
  clock_res_get: "ii>i",
  clock_time_get: "iIi>i",
  fd_advise: "iIIi>i",
  fd_allocate: "iII>i",
  fd_close: "i>i",
  fd_datasync: "i>i",
  fd_fdstat_get: "ii>i",
  fd_fdstat_set_flags: "ii>i",
  fd_fdstat_set_rights: "iII>i",
  fd_filestat_get: "ii>i",
  fd_filestat_set_size: "iI>i",
  fd_filestat_set_times: "iIIi>i",
  fd_pread: "iiiIi>i",
  fd_prestat_get: "ii>i",
  fd_prestat_dir_name: "iii>i",
  fd_pwrite: "iiiIi>i",
  fd_read: "iiii>i",
  fd_readdir: "iiiIi>i",
  fd_renumber: "ii>i",
  fd_seek: "iIii>i",
  fd_sync: "i>i",
  fd_tell: "ii>i",
  fd_write: "iiii>i",
  path_create_directory: "iii>i",
  path_filestat_get: "iiiii>i",
  path_filestat_set_times: "iiiiIIi>i",
  path_link: "iiiiiii>i",
  path_open: "iiiiiIIii>i",
  path_readlink: "iiiiii>i",
  path_remove_directory: "iii>i",
  path_rename: "iiiiii>i",
  path_symlink: "iiiii>i",
  path_unlink_file: "iii>i",
  poll_oneoff: "iiii>i",
  proc_exit: "i>",
  proc_raise: "i>i",
  sched_yield: ">i",
  random_get: "ii>i",
  sock_accept: "iii>i",
  sock_recv: "iiiiii>i",
  sock_send: "iiiii>i",
  sock_shutdown: "ii>i",
} as const;
export type WasiImport = keyof typeof WASI_IMPORTS;

/** AssemblyScript's failed assertions end here; the engine binds it to a trap. */
export const ABORT_MODULE = "env";
export const ABORT_NAME = "abort";
const ABORT_SIGNATURE = "iiii>";

/** What an exported function for a phase must look like. */
export const PHASE_SIGNATURE = ">i";

/** Called once after instantiation when a module exports it (the reactor convention of several toolchains). */
export const INITIALIZE_EXPORT = "_initialize";
export const INITIALIZE_SIGNATURE = ">";
/** What a program (a WASI "command") exports in place of it: such a module runs once and ends, so it has no hooks. */
export const COMMAND_EXPORT = "_start";

/** Exports that only the forge may add: a module that already uses the prefix is refused. */
export const RESERVED_PREFIX = "gatehouse:";
/** The fuel counter: a mutable i64 global. The guest's own code cannot name it. */
export const FUEL_EXPORT = "gatehouse:fuel";
/** The guest's memory, exported so that the engine can see its size even if the guest hides it. */
export const MEMORY_EXPORT = "gatehouse:memory";

/** The signature that an import of a guest must have, or undefined if there is no such import. */
export function importSignature(module: string, name: string): string | undefined {
  if (module === KERNEL_MODULE)
    return Object.hasOwn(KERNEL_IMPORTS, name) ? KERNEL_IMPORTS[name as KernelImport] : undefined;
  if (module === USER_MODULE)
    return Object.hasOwn(USER_IMPORTS, name) ? USER_IMPORTS[name as UserImport] : undefined;
  if (module === WASI_MODULE)
    return Object.hasOwn(WASI_IMPORTS, name) ? WASI_IMPORTS[name as WasiImport] : undefined;
  if (module === ABORT_MODULE && name === ABORT_NAME) return ABORT_SIGNATURE;
  return undefined;
}

/** What an import may have the guest wait for; undefined for one that never waits. */
export function askOf(module: string, name: string): HostAsk | undefined {
  const key = `${module}.${name}`;
  return Object.hasOwn(ASKING_IMPORTS, key) ? ASKING_IMPORTS[key] : undefined;
}

/** What guests with these grants may wait for. */
export function asksOf({ httpHosts, kvBytes, secrets }: GuestGrants): HostAsk[] {
  const asks: HostAsk[] = [];
  if (httpHosts.length > 0) asks.push("fetch");
  if (kvBytes > 0) asks.push("kv");
  if (secrets.length > 0) asks.push("secret");
  return asks;
}

/**
 * Why a module may not have its imports (`module.name`): host functions that its manifest asks no grant for.
 * Extism's own http_request is no reason, because development kits import it whether or not a guest uses it.
 */
export function ungranted(imports: readonly string[], grants: GuestGrants): string[] {
  const asks = asksOf(grants);
  const reasons: string[] = [];
  for (const name of new Set(imports)) {
    // What there is not is refused as such.
    if (!USER_FUNCTIONS.some((known) => name === `${USER_MODULE}.${known}`)) continue;
    const ask = ASKING_IMPORTS[name];
    const isGranted = ask === undefined ? grants.metrics : asks.includes(ask);
    const grant = ask === undefined ? "metrics" : GRANT_NAMES[ask];
    if (!isGranted)
      reasons.push(`the module imports '${name}', for which plugin.yaml has to ask: grants.${grant}`);
  }
  return reasons;
}

const GRANT_NAMES: Readonly<Record<HostAsk, string>> = {
  fetch: "http_hosts",
  kv: "kv_bytes",
  secret: "secrets",
};
