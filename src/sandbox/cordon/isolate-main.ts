/** Entry of a cordon for JavaScript guests. Bundled by room.ts, started by supervisor.ts. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type IsolatedVM from "isolated-vm";
import { dropCompilers } from "./compilers.ts";
import { dropStartRights, runCordon } from "./cordon.ts";
import { createIsolateEngine, readWritten } from "./isolate-engine.ts";
import { setV8Flag } from "./v8-flag.ts";

const script = process.argv[1] as string;
const addon = createRequire(script)("./isolated-vm.node") as { ivm: typeof IsolatedVM };
const bootstrap = readFileSync(join(dirname(script), "bootstrap.js"), "utf8");
// What backtracks too much goes on in an engine whose time grows with the text: milliseconds, and not a limit passed.
setV8Flag("--enable-experimental-regexp-engine-on-excessive-backtracks");
dropCompilers();
const engine = createIsolateEngine(addon.ivm, bootstrap);
dropStartRights();
runCordon(engine, readWritten);
