/** ClientHellos: the name in them is found however they arrive, and nothing in them breaks the reader. */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import fc from "fast-check";
import { HelloReader, MAX_HELLO_BYTES, MAX_HELLO_RECORDS } from "../../src/tls/client-hello.ts";
import { capturedHello } from "./client.ts";

const readClientHello = (bytes: Buffer) => new HelloReader().add(bytes);

/** The same message in records of at most `size` bytes. */
function fragmented(hello: Buffer, size: number): Buffer {
  const message = hello.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const part = message.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part);
  }
  return Buffer.concat(records);
}

describe("the name in a ClientHello", () => {
  let named: Buffer;
  let nameless: Buffer;
  before(async () => {
    named = await capturedHello({ servername: "Shop.Example.com" });
    nameless = await capturedHello({});
  });

  it("is read in lower case; a client that names nobody has none", () => {
    assert.deepEqual(readClientHello(named), { serverName: "shop.example.com" });
    assert.deepEqual(readClientHello(nameless), { serverName: null });
  });

  it("is the same with TLS 1.2", async () => {
    const hello = await capturedHello({ servername: "a.test", maxVersion: "TLSv1.2" });
    assert.deepEqual(readClientHello(hello), { serverName: "a.test" });
  });

  it("is waited for until the message is whole", () => {
    for (let length = 1; length < named.length; length++)
      assert.equal(readClientHello(named.subarray(0, length)), null, `after ${length} bytes`);
  });

  it("is found in a message that comes in a few records", () => {
    const length = named.length - 5;
    for (let records = 1; records <= MAX_HELLO_RECORDS; records++)
      assert.deepEqual(readClientHello(fragmented(named, Math.ceil(length / records))), {
        serverName: "shop.example.com",
      });
  });

  it("is found in a message that comes byte by byte, which is handed on whole", () => {
    const bytes = fragmented(named, Math.ceil(named.length / MAX_HELLO_RECORDS));
    const reader = new HelloReader();
    for (let at = 0; at < bytes.length - 1; at++)
      assert.equal(reader.add(bytes.subarray(at, at + 1)), null, `after ${at} bytes`);
    assert.deepEqual(reader.add(bytes.subarray(bytes.length - 1)), { serverName: "shop.example.com" });
    assert.deepEqual(reader.bytes, bytes);
    assert.equal(reader.refusal, null);
  });

  for (const [title, bytes, reason] of [
    ["more records than a client sends", () => fragmented(named, 10), /more than 16 records/],
    ["records of one byte", () => fragmented(named, 1), /more than 16 records/],
    [
      "a record that does not end",
      () => Buffer.concat([Buffer.from([22, 3, 1, 0x40, 0]), Buffer.alloc(MAX_HELLO_BYTES - 4, 1)]),
      /over 16384 bytes/,
    ],
  ] as const)
    it(`is refused in ${title}`, () => {
      const reader = new HelloReader();
      assert.equal(reader.add(bytes()), null);
      assert.match(String(reader.refusal), reason);
    });

  it("is nobody's if it could be no host's", () => {
    const at = named.indexOf("Shop.Example.com");
    for (const letter of ["\0", "/", " ", "\r", "*", "\xff"]) {
      const odd = Buffer.from(named);
      odd.write(letter, at, "latin1");
      assert.deepEqual(readClientHello(odd), { serverName: null });
    }
  });

  for (const [title, bytes] of [
    ["something else than a handshake", Buffer.from([21, 3, 1, 0, 2, 2, 40])],
    ["another handshake message", Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])],
    ["a message over the bound", Buffer.from([22, 3, 1, 0, 4, 1, 255, 255, 255])],
    ["an empty record", Buffer.from([22, 3, 1, 0, 0])],
    ["a record over the bound", Buffer.from([22, 3, 1, (MAX_HELLO_BYTES + 1) >> 8, 255])],
  ] as const)
    it(`is not waited for in ${title}`, () => {
      assert.deepEqual(readClientHello(bytes), { serverName: null });
    });

  it("survives every change to any byte: it is a name, nobody's, or waited for", () => {
    fc.assert(
      fc.property(fc.nat(named.length - 1), fc.nat(255), fc.nat(named.length), (at, value, length) => {
        const odd = Buffer.from(named.subarray(0, length));
        if (at < odd.length) odd[at] = value;
        const hello = readClientHello(odd);
        return hello === null || hello.serverName === null || /^[a-z0-9_.-]+$/.test(hello.serverName);
      }),
      { numRuns: 5000 },
    );
  });
});
