/**
 * The Status API: how the node is, for load balancers and monitoring. It changes nothing and shows no
 * entities, so it may listen where the Admin API must not.
 */
import { addRoutes } from "./routes.ts";
import { type ApiLog, type ApiServer, createApp, serve } from "./server.ts";

export interface StatusOptions {
  /** In the shape of Kong's `GET /status`. */
  readonly status: () => Promise<object>;
  /** Null when every data thread serves; otherwise why not, in a few words (`draining`). */
  readonly notReady: () => string | null;
  /** Prometheus text. */
  readonly metrics: () => Promise<string>;
  readonly version: string;
  readonly log: ApiLog;
}

export function createStatusApi(options: StatusOptions): ApiServer {
  const app = createApp(options.log);
  app.addHook("onRequest", async (_, reply) => {
    reply.headers({ server: `gatehouse/${options.version}`, "x-content-type-options": "nosniff" });
  });
  addRoutes(app, [
    { path: "/status", GET: async () => ({ status: 200, body: await options.status() }) },
    {
      path: "/status/ready",
      GET() {
        const reason = options.notReady();
        return reason === null
          ? { status: 200, body: { message: "ready" } }
          : { status: 503, body: { message: reason } };
      },
    },
  ]);
  app.get("/metrics", async (_, reply) =>
    reply.type("text/plain; version=0.0.4; charset=utf-8").send(await options.metrics()),
  );
  return serve(app);
}
