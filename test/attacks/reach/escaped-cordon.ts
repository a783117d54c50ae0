/**
 * A cordon without any fence of its own: no isolate, no WebAssembly, and no permission model. It starts as the
 * real ones do, seals itself if it is told to, and then runs the escape that an "artifact" names as native code
 * would: with `node:ffi` at hand. Bundled and started by arena.ts in place of the real entry.
 */
import { Socket } from "node:net";
import { seal } from "../../../src/sandbox/cordon/seal.ts";
import { readLoad, readyFrame, TO_CORDON, turnFrame } from "../../../src/sandbox/protocol/frames.ts";
import { FrameSplitter } from "../../../src/sandbox/protocol/wire.ts";
import { ESCAPES } from "./escapes.ts";
import type { Targets } from "./targets.ts";

interface Order {
  readonly row: string;
  readonly targets: Targets;
}

let order: Order | null = null;
const usage = { cpuMicros: 1, fuel: 0, memoryBytes: 1 };

async function outcome(): Promise<string[]> {
  const row = ESCAPES.find(({ name }) => name === order?.row);
  if (row === undefined || order === null) return ["no such escape"];
  try {
    return await row.run(order.targets);
  } catch (error) {
    return [`it threw: ${error}`];
  }
}

if (process.argv[3] === "sealed") seal();
const socket = new Socket({ fd: 3, readable: true, writable: true });
const splitter = new FrameSplitter(32 * 1024 * 1024, (id, type, payload) => {
  if (type === TO_CORDON.load) order = JSON.parse(Buffer.from(readLoad(payload).artifact).toString());
  if (type !== TO_CORDON.call) return;
  void outcome().then((reached) => {
    const reply = { status: 200, headers: [], body: Buffer.from(JSON.stringify(reached)) };
    socket.write(turnFrame(id, { kind: "verdict", verdict: { reply }, hostCalls: [], usage }), "latin1");
  });
});
socket.on("data", (data: Buffer) => splitter.push(data));
socket.on("close", () => process.exit(0));
socket.write(readyFrame(), "latin1");
