/**
 * A gateway's stand-in that is killed while one cordon is stuck and a spare waits. Takes the room and the fence
 * as JSON, prints all cordons' pids.
 */
import { MemoryContext } from "./context.ts";
import { accessPlugin, bundleSource, RecordingHost, settings, startSandbox } from "./sandbox.ts";

const sandbox = await startSandbox({ ...JSON.parse(process.argv[2] ?? "{}"), warm: ["isolate"] });
const good = settings(await bundleSource(accessPlugin(`return reply(200);`)));
await sandbox.client.hooks(good, new RecordingHost()).access?.(new MemoryContext());
const stuck = settings(await bundleSource(accessPlugin(`for (;;) Array(1e9).fill(0);`)), {
  limits: { wallMs: 60_000, cpuMs: 60_000 },
});
const hooks = sandbox.client.hooks(stuck, new RecordingHost());
Promise.resolve(hooks.access?.(new MemoryContext())).catch(() => {});
const look = setInterval(() => {
  const pids = sandbox.supervisor.status().cordons.map((cordon) => cordon.pid);
  if (pids.length < 2 || pids.includes(null)) return;
  clearInterval(look);
  console.log(JSON.stringify(pids));
}, 5);
