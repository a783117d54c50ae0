/**
 * A gateway's stand-in under a uid that is not root's: prints the fence that it found, and what a cordon behind
 * it answered. Arguments: its prefix, and what is wished of the fence as JSON.
 */
import type { Reply } from "@gatehouse/sdk";
import { probeFence } from "../../../src/sandbox/fence/fence-probe.ts";
import { prepareRoom } from "../../../src/sandbox/fence/room.ts";
import { MemoryContext } from "../context.ts";
import { accessPlugin, bundleSource, PATIENT, RecordingHost, settings, startSandbox } from "../sandbox.ts";

const [, , prefix = "", wishes = "{}"] = process.argv;
const room = await prepareRoom(prefix, ["isolate"]);
const fence = await probeFence(room, JSON.parse(wishes));
const sandbox = await startSandbox({ room, fence });
const guest = settings(await bundleSource(accessPlugin(`return reply(207);`)), { limits: PATIENT });
const reply = (await sandbox.client.hooks(guest, new RecordingHost()).access?.(new MemoryContext())) as Reply;
await sandbox.close();
console.log(JSON.stringify({ fence, answered: reply.status }));
process.exit(0);
