/** Bodies that plugins want whole, in a real gateway: what is on its disk, and what its memory and its process do. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, readdir, readlink, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { send } from "../support/client.ts";
import { type GatewayOptions, startGateway } from "../support/gateway.ts";
import { type Origin, startOrigin } from "../support/origin.ts";
import { memoryOf } from "./streams.ts";

const KIB = 1024;
const MIB = 1024 * KIB;
const FORM = { "content-type": "application/x-www-form-urlencoded" };

/** A gateway with a plugin that reads forms. */
const reading = (origin: Origin): GatewayOptions["config"] => ({
  _format_version: "3.0",
  services: [
    {
      name: "s",
      url: origin.url,
      routes: [
        {
          name: "r",
          paths: ["/"],
          plugins: [{ name: "request-transformer", config: { remove: { body: ["secret"] } } }],
        },
      ],
    },
  ],
});

const tells = (): Promise<Origin> =>
  startOrigin((received, response) => {
    response.end(String(received.bodyLength));
  });

/** Files of a process that have no name any more, below a directory. */
async function unnamedFiles(pid: number, directory: string): Promise<number> {
  let count = 0;
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(() => "");
    if (target.startsWith(directory) && target.endsWith(" (deleted)")) count++;
  }
  return count;
}

/** Begins an upload of a form and leaves it unfinished after `bytes`. */
async function begin(port: number, bytes: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.on("error", () => {});
  await once(socket, "connect");
  const head = `POST / HTTP/1.1\r\nHost: a\r\nContent-Type: ${FORM["content-type"]}\r\nContent-Length: ${bytes + 1}\r\n\r\n`;
  const body = Buffer.alloc(bytes, "a");
  if (!socket.write(Buffer.concat([Buffer.from(head), body]))) await once(socket, "drain");
  return socket;
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 10));
}

describe("bodies on disk", () => {
  it("are in files without names, and gone when their clients have left", async () => {
    await using origin = await tells();
    await using gateway = await startGateway({ config: reading(origin), settings: { data_threads: "2" } });
    const directory = join(gateway.prefix, "spill");
    const sockets = await Promise.all(Array.from({ length: 8 }, () => begin(gateway.ports.proxy, MIB)));
    await until(async () => (await unnamedFiles(gateway.pid, directory)) === 8);
    assert.deepEqual(await readdir(directory), []);
    for (const socket of sockets) socket.destroy();
    await until(async () => (await unnamedFiles(gateway.pid, directory)) === 0);
    const form = `secret=1&a=${"b".repeat(MIB)}`;
    const answer = await send(gateway.url, { method: "POST", headers: FORM, body: form });
    assert.equal(answer.body, String(form.length - "secret=1&".length));
  });

  it("what a gateway that was killed has left is removed at the next start", async () => {
    await using origin = await tells();
    await using first = await startGateway({ config: reading(origin) });
    await first.stop();
    const directory = join(first.prefix, "spill");
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, "left"), "behind");
    await using second = await startGateway({
      config: reading(origin),
      settings: { prefix: first.prefix },
    });
    assert.deepEqual(await readdir(directory), []);
    assert.equal((await send(second.url)).status, 200);
  });

  it("a body that the disk does not take is a 503, the log says why, and the gateway serves on", async () => {
    await using origin = await tells();
    // Files of 1 MiB at most stand for a disk that is full.
    await using gateway = await startGateway({
      config: reading(origin),
      settings: { data_threads: "1" },
      under: ["prlimit", `--fsize=${MIB}`],
    });
    const post = (bytes: number) =>
      send(gateway.url, { method: "POST", headers: FORM, body: `a=${"b".repeat(bytes)}` });
    assert.equal((await post(2 * MIB)).status, 503);
    await gateway.log(({ msg }) => /a body that is held whole for plugins: EFBIG/.test(String(msg)));
    assert.equal((await post(400 * KIB)).status, 200);
    await until(async () => (await unnamedFiles(gateway.pid, join(gateway.prefix, "spill"))) === 0);
  });

  it("hundreds of uploads that do not end cost disk and not memory", async () => {
    await using origin = await tells();
    await using gateway = await startGateway({
      config: reading(origin),
      settings: { data_threads: "1", drain_timeout_ms: "1000", body_buffer_thread_bytes: "16m" },
    });
    const count = 400;
    const start = () => Promise.all(Array.from({ length: count }, () => begin(gateway.ports.proxy, MIB)));
    const directory = join(gateway.prefix, "spill");
    const idle = (await memoryOf(gateway.pid)).now;
    const sockets = await start();
    await until(async () => (await unnamedFiles(gateway.pid, directory)) === count);
    const { peak } = await memoryOf(gateway.pid);
    assert.ok(
      peak - idle < (count * MIB) / 2,
      `${Math.round((peak - idle) / MIB)} MiB for ${count} MiB of bodies`,
    );
    for (const socket of sockets) socket.destroy();
    await until(async () => (await unnamedFiles(gateway.pid, directory)) === 0);
  });
});
