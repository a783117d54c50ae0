/** Twenty thousand routes in a real gateway; a hundred thousand by many-routes-long.ts. */
import { test } from "node:test";
import { serveManyRoutes } from "./many-routes.ts";

test("20,000 routes are loaded and found, one is replaced, and a broken change is refused whole", async () => {
  await serveManyRoutes(20_000);
});
