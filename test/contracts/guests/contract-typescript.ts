/**
 * The contract's guest in TypeScript: run natively and in an isolate. `act` of its config says what it does; the
 * same acts are in contract-assembly/, contract-go/ and contract-rust/ for WebAssembly.
 */
import { type Context, definePlugin, type Host, record, reply } from "@gatehouse/sdk";

interface Config {
  act: string;
  word?: string;
}

const text = (bytes: Uint8Array | null): string =>
  bytes === null ? "none" : new TextDecoder().decode(bytes);

export default definePlugin({
  name: "contract",
  version: "1.0.0",
  priority: 1,
  schema: record({}),
  create(given, host) {
    const config = given as unknown as Config;
    const { act, word = "" } = config;
    let calls = 0;
    return {
      rewrite(ctx) {
        if (act !== "vars") return;
        ctx.vars.seen = { word, old: ctx.vars.old };
        delete ctx.vars.old;
      },
      access(ctx) {
        calls++;
        if (act === "request") return editRequest(ctx);
        if (act === "body") return ctx.request.setBody(new TextEncoder().encode("grüße"));
        if (act === "reply") return reply(418, new Uint8Array([0, 255]), { "X-Why": "because" });
        if (act === "config") return reply(200, JSON.stringify(config));
        if (act === "headers") return reply(200, String(ctx.request.headers.entries()));
        if (act === "consumer") return reply(200, ctx.consumer?.username ?? "nobody");
        if (act === "count") return reply(200, String(calls));
        if (act === "throw") throw new Error("as it was told to");
        if (act === "log") return tell(host, word);
        if (act === "echo") return echo(ctx);
        if (act === "kv") return keep(host, word);
        if (act === "secret") return secrets(host);
        if (act === "fetch") return fetchWord(host, word);
        return;
      },
      headerFilter(ctx) {
        if (act !== "response") return;
        ctx.response.status = 201;
        ctx.response.headers.set("X-Set", "new");
        ctx.response.headers.add("X-Add", "2");
        ctx.response.headers.remove("x-gone");
      },
      response(ctx) {
        if (act !== "whole") return;
        ctx.response.status = 202;
        ctx.response.setBody(new TextEncoder().encode("another body"));
      },
      bodyFilter(_ctx, _chunk, last) {
        if (act === "chunks" && last) return new TextEncoder().encode("end");
        return;
      },
      log() {
        if (act === "log") host.log("warn", "in log");
      },
    };
  },
});

function editRequest({ request }: Context): void {
  request.headers.set("X-Set", "new");
  request.headers.add("X-Add", "2");
  request.headers.remove("x-gone");
  request.method = "PUT";
  request.upstreamPath = "/new%20path";
  request.query = "a=1&b=%20";
}

function tell(host: Host, word: string): void {
  host.log("info", word);
  host.count("contract_total", "Calls.", { word }, 2);
}

async function echo(ctx: Context) {
  return reply(200, text(await ctx.request.readBody()));
}

async function keep(host: Host, word: string) {
  const before = text(await host.kv.get("key"));
  await host.kv.set("key", word, { ttlMs: 60_000 });
  const during = text(await host.kv.get("key"));
  await host.kv.delete("key");
  return reply(200, `${before} ${during} ${text(await host.kv.get("key"))}`);
}

async function secrets(host: Host) {
  return reply(200, `${await host.secret("TOKEN")} ${(await host.secret("NONE")) ?? "none"}`);
}

async function fetchWord(host: Host, word: string) {
  const url = "https://api.test/x";
  const answer = await host.fetch({ url, method: "POST", headers: [["X-Sent", "1"]], body: word });
  const [, seen] = answer.headers.find(([name]) => name.toLowerCase() === "x-url") ?? ["", ""];
  return reply(200, `${answer.status} ${seen} ${text(answer.body)}`);
}
