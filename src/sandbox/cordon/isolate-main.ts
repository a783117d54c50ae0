/** Entry of a cordon for JavaScript guests. Bundled by room.ts, started by supervisor.ts. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type IsolatedVM from "isolated-vm";
import { dropStartRights, runCordon } from "./cordon.ts";
import { createIsolateEngine, readWritten } from "./isolate-engine.ts";

const require = createRequire(import.meta.url);
const addon = require("./isolated-vm.node") as { ivm: typeof IsolatedVM };
const bootstrap = readFileSync(new URL("./bootstrap.js", import.meta.url), "utf8");
const engine = createIsolateEngine(addon.ivm, bootstrap);
dropStartRights();
runCordon(engine, readWritten);
