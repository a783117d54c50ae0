/**
 * A gateway's stand-in that is killed while its cordons are in every state: a spare, idle, in a loop, waiting for a
 * host call, with more in its socket than it reads, and one after the other starting. Takes the room and the fence
 * as JSON, prints the process ids of those that are up.
 */
import { MemoryContext } from "../context.ts";
import {
  accessPlugin,
  bundleSource,
  type GuestParts,
  RecordingHost,
  settings,
  startSandbox,
} from "../sandbox.ts";

class SilentHost extends RecordingHost {
  override findConsumer(): Promise<never> {
    return new Promise(() => {});
  }
}

const sandbox = await startSandbox({ ...JSON.parse(process.argv[2] ?? "{}"), warm: ["isolate"] });
const good = await bundleSource(accessPlugin(`return reply(200);`));

async function call(artifact: Uint8Array, parts: GuestParts, body: Uint8Array | null = null): Promise<void> {
  const hooks = sandbox.client.hooks(settings(artifact, parts), new SilentHost());
  await hooks.access?.(new MemoryContext({ body }));
}

function callForEver(artifact: Uint8Array, parts: GuestParts, body: Uint8Array | null = null): void {
  call(artifact, { ...parts, limits: { wallMs: 60_000, cpuMs: 60_000 } }, body).catch(() => {});
}

await call(good, { workspace: "idle" });
const stuck = await bundleSource(accessPlugin(`for (;;) Array(1e9).fill(0);`));
callForEver(stuck, { workspace: "loop" });
const waiting = await bundleSource(accessPlugin(`await host.findConsumer("c-1");`));
callForEver(waiting, { workspace: "waiting", grants: { consumer: true } });
callForEver(stuck, { workspace: "full" });
for (let i = 0; i < 4; i++)
  callForEver(good, { workspace: "full", grants: { requestBodyBytes: 3e6 } }, Buffer.alloc(2e6, "x"));

const look = setInterval(() => {
  const { cordons } = sandbox.supervisor.status();
  const busy = cordons.filter(({ workspace, calls }) => workspace !== null && calls > 0);
  const spare = cordons.find(({ workspace, pid }) => workspace === null && pid !== null);
  if (busy.length < 4 || spare === undefined) return;
  clearInterval(look);
  console.log(JSON.stringify([...busy, spare].map(({ pid }) => pid)));
  let n = 0;
  setInterval(() => callForEver(good, { workspace: `starting-${n++}` }), 20);
}, 5);
