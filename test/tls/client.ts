/** A client of TLS for tests: node:tls, with the requests written by hand. */
import { once } from "node:events";
import { createServer } from "node:net";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";
import { RawClient, type RawResponse } from "../support/raw-client.ts";

/** A connection whose handshake is over. Certificates are not verified unless the options say so. */
export async function openTls(port: number, options: ConnectionOptions = {}): Promise<TlsClient> {
  const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options });
  const client = new TlsClient(socket);
  await once(socket, "secureConnect");
  return client;
}

export class TlsClient extends RawClient {
  readonly tls: TLSSocket;
  /** The session that the server gave last, for the next connection. */
  session: Buffer | undefined;

  constructor(socket: TLSSocket) {
    super(socket);
    this.tls = socket;
    socket.on("session", (session) => {
      this.session = session;
    });
    socket.on("error", () => {}); // whoever waits hears of it
  }

  /** The name for which the server's certificate was issued first. */
  get certificate(): string {
    return String(this.tls.getPeerCertificate().subject?.CN);
  }

  async get(path: string, host = "localhost", fields = ""): Promise<RawResponse> {
    this.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${fields}\r\n`);
    return this.read();
  }
}

/** The common name of the certificate that a server shows for a name. */
export async function shownFor(port: number, servername?: string): Promise<string> {
  await using client = await openTls(port, servername === undefined ? {} : { servername });
  return client.certificate;
}

/** The first bytes of a real client. */
export async function capturedHello(options: ConnectionOptions): Promise<Buffer> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  const client = connect({ port, host: "127.0.0.1", ...options }).on("error", () => {});
  const [socket] = await once(server, "connection");
  const [bytes] = await once(socket, "data");
  socket.destroy();
  client.destroy();
  server.close();
  return bytes as Buffer;
}
