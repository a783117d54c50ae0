/** correlation-id: an id reaches the upstream, and the client if it is to. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { send } from "../support/client.ts";
import type { Gateway } from "../support/gateway.ts";
import { type Origin, type Received, receivedHeader, startOrigin } from "../support/origin.ts";
import { PLACEMENTS, startPlaced } from "./placements.ts";

const UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}";

for (const placement of PLACEMENTS) {
  describe(`correlation-id, ${placement.title}`, () => {
    let origin: Origin;
    let gateway: Gateway;

    before(async () => {
      origin = await startOrigin();
      const name = "correlation-id";
      gateway = await startPlaced(placement, {
        origin,
        routes: {
          plain: [{ name }],
          echo: [{ name, config: { header_name: "X-Trace", generator: "uuid", echo_downstream: true } }],
          refused: [{ name, config: { echo_downstream: true } }, { name: "request-termination" }],
        },
      });
    });
    after(async () => {
      await gateway?.[Symbol.asyncDispose]();
      await origin?.close();
    });

    it("an id is made up and sent upstream, not downstream", async () => {
      const answer = await send(`${gateway.url}/plain`);
      assert.match(
        receivedHeader(answer.json() as Received, "Kong-Request-ID") ?? "",
        new RegExp(`^${UUID}#\\d+$`),
      );
      assert.equal(answer.header("Kong-Request-ID"), undefined);
    });

    it("every request gets an id of its own", async () => {
      const answers = await Promise.all(Array.from({ length: 20 }, () => send(`${gateway.url}/plain`)));
      const ids = answers.map((answer) => receivedHeader(answer.json() as Received, "Kong-Request-ID"));
      assert.equal(new Set(ids).size, 20);
    });

    it("a client's id is kept, sent upstream and echoed", async () => {
      const answer = await send(`${gateway.url}/echo`, { headers: { "x-trace": "mine" } });
      assert.equal(receivedHeader(answer.json() as Received, "X-Trace"), "mine");
      assert.equal(answer.header("X-Trace"), "mine");
    });

    it("the id that the upstream saw is the one that the client gets", async () => {
      const answer = await send(`${gateway.url}/echo`);
      const id = receivedHeader(answer.json() as Received, "X-Trace") ?? "";
      assert.match(id, new RegExp(`^${UUID}$`));
      assert.equal(answer.header("X-Trace"), id);
    });

    it("an answer that a plugin gave carries the id too", async () => {
      const answer = await send(`${gateway.url}/refused`);
      assert.equal(answer.status, 503);
      assert.match(answer.header("Kong-Request-ID") ?? "", new RegExp(`^${UUID}#\\d+$`));
    });
  });
}
