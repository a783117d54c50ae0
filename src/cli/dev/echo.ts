/** The upstream of `plugin dev` and of the demo: answers with what it received, so that an author sees what the plugin made of it. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface Echo {
  readonly port: number;
  close(): void;
}

/** Body bytes that are shown. */
const MAX_SHOWN = 64 * 1024;

export async function startEcho(): Promise<Echo> {
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    request.on("data", (part: Buffer) => {
      if (bytes < MAX_SHOWN) parts.push(part);
      bytes += part.length;
    });
    request.on("end", () => {
      const { method, url, headers } = request;
      const body = Buffer.concat(parts).toString("utf8", 0, MAX_SHOWN);
      const echoed = { method, url, headers, body_bytes: bytes, body };
      response
        .writeHead(200, { "content-type": "application/json" })
        .end(`${JSON.stringify(echoed, null, 2)}\n`);
    });
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
