/** Ten thousand hostile connections: each is answered or dropped, none leaves a socket behind. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { connect } from "node:net";
import { it } from "node:test";
import { REFUSED_REQUESTS } from "../../http1/corpus/corpus.ts";
import { Attack } from "./attack.ts";

const CONNECTIONS = 10_000;
const AT_ONCE = 500;

const attack = new Attack({
  client_head_timeout_ms: "300",
  client_body_timeout_ms: "300",
  client_idle_timeout_ms: "300",
  upstream_keepalive_idle_timeout: "1",
});

/** How a client behaves once it has written its bytes. */
const MANNERS = ["reads on", "ends its side", "resets", "leaves in the middle"] as const;

function hostile(port: number, bytes: Buffer, manner: (typeof MANNERS)[number]): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.on("end", () => socket.end());
    socket.resume();
    if (manner === "leaves in the middle")
      socket.write(bytes.subarray(0, bytes.length >> 1), () => socket.destroy());
    else if (manner === "resets") socket.write(bytes, () => socket.resetAndDestroy());
    else if (manner === "ends its side") socket.end(bytes);
    else socket.write(bytes);
  });
}

it(`${CONNECTIONS} hostile connections leave no descriptor open and nobody else unserved`, async () => {
  await attack.begin();
  const { between } = attack;
  const open = () => readdirSync(`/proc/${between.gateway.pid}/fd`).length;
  const attacks = REFUSED_REQUESTS.map(({ bytes }) => Buffer.from(bytes, "latin1"));
  const before = open();
  let started = 0;
  const worker = async () => {
    for (;;) {
      const i = started++;
      if (i >= CONNECTIONS) return;
      await hostile(
        between.port,
        attacks[i % attacks.length] as Buffer,
        MANNERS[(i >> 2) % MANNERS.length] as never,
      );
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  await attack.othersAreServed();
  // What was closed by the client is reaped within its deadlines; nothing but time is waited for.
  let left = open();
  for (let i = 0; i < 100 && left > before; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    left = open();
  }
  assert.ok(left <= before, `${left - before} descriptors more than before`);
});
