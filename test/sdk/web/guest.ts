/** A plugin that is written as web handlers are, for guest.test.ts. */
import { definePlugin, record } from "@gatehouse/sdk";
import { Headers, onRequest, Response, URL, webFetch } from "@gatehouse/sdk/web";

export default definePlugin({
  name: "web",
  version: "1.0.0",
  priority: 1,
  schema: record({}),
  create(_config, host) {
    return onRequest(async (request) => {
      const url = new URL(request.url);
      if (url.pathname === "/through") return;
      if (url.pathname === "/fetch") {
        const answer = await webFetch(host, new URL("/x", "https://api.test"), {
          method: "POST",
          headers: { "X-Sent": "1" },
          body: "wörd",
        });
        return new Response(await answer.text(), { status: answer.status });
      }
      const headers = new Headers({ "X-Query": url.searchParams.get("q") ?? "none" });
      headers.append("Set-Cookie", "a=1");
      headers.append("Set-Cookie", "b=2");
      const { method } = request;
      return Response.json(
        { method, accept: request.headers.get("Accept"), body: await request.text() },
        { headers },
      );
    });
  },
});
