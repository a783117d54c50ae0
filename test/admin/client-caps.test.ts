/** How many connections to the Admin and Status API one client may have. */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import type { Socket } from "node:net";
import { test } from "node:test";
import { ClientCaps } from "../../src/admin/client-caps.ts";

function connections(caps: ClientCaps) {
  return (remoteAddress: string) => {
    const socket = Object.assign(new EventEmitter(), {
      remoteAddress,
      destroyed: false,
      destroy() {
        socket.destroyed = true;
      },
    });
    caps.admit(socket as unknown as Socket);
    return socket;
  };
}

test("a client's connections beyond its part are closed, others' are not, and what is closed makes room", () => {
  const open = connections(new ClientCaps(2));
  const first = open("203.0.113.1");
  assert.equal(open("::ffff:203.0.113.1").destroyed, false);
  assert.equal(open("203.0.113.1").destroyed, true);
  assert.equal(open("203.0.113.2").destroyed, false);
  first.emit("close");
  assert.equal(open("203.0.113.1").destroyed, false);
  assert.equal(open("203.0.113.1").destroyed, true, "a connection that was refused has made no room");
  const network = ["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2::3"].map(open);
  assert.deepEqual(
    network.map(({ destroyed }) => destroyed),
    [false, false, true],
  );
});

test("this machine's own connections are not counted", () => {
  const open = connections(new ClientCaps(1));
  assert.deepEqual(
    ["127.0.0.1", "127.0.0.1", "::1", "::ffff:127.0.0.1"].map((address) => open(address).destroyed),
    [false, false, false, false],
  );
});
