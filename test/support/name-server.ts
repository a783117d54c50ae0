/** A DNS server of a test's own: it answers A and AAAA questions over UDP with whatever the test says by then. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { isIPv6 } from "node:net";

export interface NameServer extends AsyncDisposable {
  /** `address:port`, for a resolver. */
  readonly address: string;
  /** Names that were asked for by A questions, in order. */
  readonly asked: readonly string[];
}

const A = 1;
const AAAA = 28;
const TTL_S = 1;

/** `answer` gets the name and how often it was asked for before; no address is an answer without records. */
export async function startNameServer(
  answer: (name: string, before: number) => readonly string[],
): Promise<NameServer> {
  const asked: string[] = [];
  const counts = new Map<string, number>();
  const current = new Map<string, readonly string[]>();
  const socket = createSocket("udp4");
  socket.on("message", (query, { address, port }) => {
    const { name, end, type } = question(query);
    if (type === A) {
      const before = counts.get(name) ?? 0;
      counts.set(name, before + 1);
      asked.push(name);
      current.set(name, answer(name, before));
    }
    const family = (text: string) => (isIPv6(text) ? AAAA : A);
    const records = (current.get(name) ?? []).filter((text) => family(text) === type);
    const head = Buffer.from(query.subarray(0, 12));
    head.writeUInt16BE(0x8180, 2); // an answer, of a server that recurses
    head.writeUInt16BE(records.length, 6);
    head.writeUInt32BE(0, 8);
    const parts = records.map((text) => {
      const bytes = addressBytes(text);
      const record = Buffer.alloc(12);
      record.writeUInt16BE(0xc00c, 0); // the name of the question
      record.writeUInt16BE(type, 2);
      record.writeUInt16BE(1, 4);
      record.writeUInt32BE(TTL_S, 6);
      record.writeUInt16BE(bytes.length, 10);
      return Buffer.concat([record, bytes]);
    });
    socket.send(Buffer.concat([head, query.subarray(12, end), ...parts]), port, address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return {
    address: `127.0.0.1:${socket.address().port}`,
    asked,
    async [Symbol.asyncDispose]() {
      const closed = once(socket, "close");
      socket.close();
      await closed;
    },
  };
}

function question(query: Buffer): { name: string; end: number; type: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] as number; length > 0; length = query[at] as number) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += length + 1;
  }
  return { name: labels.join(".").toLowerCase(), end: at + 5, type: query.readUInt16BE(at + 1) };
}

/** Of IPv4, and of IPv6 written with all its groups or with `::`. */
function addressBytes(text: string): Buffer {
  if (!isIPv6(text)) return Buffer.from(text.split(".").map(Number));
  const [head = "", tail] = text.split("::");
  const groups = (half: string) => half.split(":").filter((group) => group !== "");
  const left = groups(head);
  const right = groups(tail ?? "");
  const all = [...left, ...new Array<string>(8 - left.length - right.length).fill("0"), ...right];
  return Buffer.from(
    all.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]),
  );
}
