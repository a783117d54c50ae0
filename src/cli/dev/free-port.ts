import { createServer } from "node:net";

/** The port of loopback that is wanted, or 0 (any) if it is taken. */
export async function freePort(wanted: number): Promise<number> {
  const server = createServer();
  const { promise, resolve } = Promise.withResolvers<number>();
  server.once("error", () => resolve(0));
  server.listen(wanted, "127.0.0.1", () => server.close(() => resolve(wanted)));
  return promise;
}
