/**
 * As many routes as one likes in a real gateway, and how long it takes to load them and to change one:
 *
 *     npm exec -- node test/gateway/many-routes-long.ts --routes 100000
 *
 * Exits with 1 if a route is not found, or a broken change not refused.
 */
import { readArguments, refuse } from "../../bench/arguments.ts";
import { serveManyRoutes } from "./many-routes.ts";

const USAGE = `node test/gateway/many-routes-long.ts [options]
  --routes N     how many (default 100000)`;

const values = readArguments(USAGE, { routes: { type: "string", default: "100000" } });
const count = Number(values.routes);
if (!Number.isInteger(count) || count < 100) refuse("--routes takes a whole number, 100 or more");

const { startMs, changeMs } = await serveManyRoutes(count);
process.stdout.write(
  `${count} routes: serving ${(startMs / 1000).toFixed(1)} s after the start, one changed in ${(changeMs / 1000).toFixed(1)} s\n`,
);
