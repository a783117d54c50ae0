/** Run by `gatehouse plugin test`, in the sandbox with the manifest's grants and limits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { testPlugin } from "@gatehouse/sdk/testing";

const plugin = new URL(".", import.meta.url);

test("the service and the client are greeted", async () => {
  const { request, response } = await testPlugin(
    plugin,
    { url: "/orders" },
    { config: { greeting: "Ahoy" }, response: { body: "three orders" } },
  );
  assert.equal(request?.headers.get("x-greeting"), "Ahoy");
  assert.equal(response.headers.get("x-greeting"), "Ahoy");
  assert.equal(response.text(), "three orders");
});

test("a closed path is answered with 403, and the service does not hear of it", async () => {
  const { request, response, logs } = await testPlugin(
    plugin,
    { url: "/internal/keys" },
    { config: { closed: ["/internal"] } },
  );
  assert.equal(request, null);
  assert.equal(response.status, 403);
  assert.deepEqual(response.json(), { message: "This path is closed" });
  assert.deepEqual(logs, [{ level: "info", message: "closed: /internal/keys" }]);
});
