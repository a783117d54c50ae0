/** Entry of a cordon for JavaScript guests. Bundled by room.ts, started by supervisor.ts. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type IsolatedVM from "isolated-vm";
import { dropStartRights, runCordon } from "./cordon.ts";
import { createIsolateEngine, readWritten } from "./isolate-engine.ts";

const script = process.argv[1] as string;
const addon = createRequire(script)("./isolated-vm.node") as { ivm: typeof IsolatedVM };
const bootstrap = readFileSync(join(dirname(script), "bootstrap.js"), "utf8");
const engine = createIsolateEngine(addon.ivm, bootstrap);
dropStartRights();
runCordon(engine, readWritten);
