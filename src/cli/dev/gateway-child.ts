/**
 * The process of a `DevGateway`: it ends when whoever started it is gone, however that came about, and leaves nothing.
 * Started with the gateway's own arguments and a channel to its parent.
 */
import { rmSync } from "node:fs";

process.once("disconnect", () => {
  const prefix = process.env.GATEHOUSE_PREFIX;
  if (prefix !== undefined) process.once("exit", () => rmSync(prefix, { recursive: true, force: true }));
  process.kill(process.pid, "SIGTERM");
});
process.channel?.unref();

await import("../../main.ts");
