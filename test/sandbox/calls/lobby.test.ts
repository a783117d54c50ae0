/** Where cordons come in: connections that say nothing do not keep them out. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { Lobby } from "../../../src/sandbox/calls/lobby.ts";
import { TOKEN_CHARACTERS } from "../../../src/sandbox/protocol/messages.ts";

const token = () => randomBytes(TOKEN_CHARACTERS).toString("hex").slice(0, TOKEN_CHARACTERS);

async function open(name: string): Promise<Socket> {
  const socket = connect({ path: `\0${name}` });
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

for (const [title, said] of [
  ["say nothing", () => ""],
  ["say tokens that nobody announced", token],
] as const)
  test(`a cordon comes in although hundreds of strangers ${title}; the oldest make room`, async () => {
    const admitted = Promise.withResolvers<number>();
    const lobby = new Lobby((cordon, wire) => {
      wire.destroy();
      admitted.resolve(cordon);
    });
    const name = await lobby.listen();
    const strangers: Socket[] = [];
    for (let i = 0; i < 300; i++) {
      const stranger = await open(name);
      stranger.write(said());
      strangers.push(stranger);
    }
    const mine = token();
    lobby.expect(7, mine);
    const cordon = await open(name);
    cordon.write(mine);
    assert.equal(await admitted.promise, 7);
    const first = strangers[0] as Socket;
    if (!first.closed) await once(first.resume(), "close");
    for (const socket of [...strangers, cordon]) socket.destroy();
    lobby.close();
  });
