/** Entry of a cordon for WASM guests: no addon is loaded. Bundled by room.ts, started by supervisor.ts. */

import { readShown } from "../protocol/frames.ts";
import { createWasmEngine } from "../wasm/wasm-engine.ts";
import { dropStartRights, runCordon } from "./cordon.ts";

const engine = createWasmEngine();
dropStartRights();
runCordon(engine, readShown);
