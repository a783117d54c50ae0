/**
 * What the fence is tried with: it is started as a cordon is, tries to get out, and prints `held`, or what it
 * could reach. Arguments: what holds it, the uid that it must have, whether it seals itself, the gateway's pid and
 * process namespace, and a file outside that it must not be able to read. Bundled by room.ts, started by fence-probe.ts.
 */
import { accessSync, constants, existsSync, openSync, readlinkSync, writeSync } from "node:fs";
import { type NetworkInterfaceInfo, networkInterfaces } from "node:os";
import { seal } from "./seal.ts";

const [, script = "", by, uid, sealing, gateway, gatewaySpace, outside = ""] = process.argv;
const reached: string[] = [];

function attempt(what: string, run: () => boolean): void {
  try {
    if (run()) reached.push(what);
  } catch {
    // Refused, as it should be.
  }
}

if (by !== "nothing") {
  // A launcher may leave a loopback interface, as long as it is the cordon's own.
  const isOutside = (at: NetworkInterfaceInfo) => by !== "launcher" || !at.internal;
  attempt("a network", () => Object.values(networkInterfaces()).some((all) => all?.some(isOutside)));
  attempt(
    "the gateway's process",
    () => process.kill(Number(gateway), 0) && readlinkSync("/proc/self/ns/pid") === gatewaySpace,
  );
  attempt("a room that it can write to", () => opened(`${script}.written`, "w"));
  attempt("root's rights", () => process.getuid?.() === 0 || process.geteuid?.() === 0);
  attempt("files of the gateway", () => opened(outside, "r"));
}
if (by === "root" || by === "user-namespaces") {
  if (process.pid !== 1) reached.push(`other processes (it is number ${process.pid})`);
  if (String(process.getuid?.()) !== uid) reached.push(`another uid (${process.getuid?.()} and not ${uid})`);
  for (const path of ["/etc", "/root", "/home", "/var", "/tmp", "/usr", "/proc", "/sys"])
    attempt(path, () => existsSync(path));
}
if (sealing === "sealed") {
  seal();
  attempt("files, although it is sealed", () => opened(script, "r"));
  attempt("files' rights, although it is sealed", () => accessSync("/", constants.R_OK) === undefined);
}
writeSync(1, reached.length === 0 ? "held" : `it reaches ${reached.join(", ")}`);

function opened(path: string, flags: string): boolean {
  return openSync(path, flags) >= 0;
}
