/** One escape in an ordinary process, where nothing holds it: prints what it reached. Bundled by arena.ts. */
import { ESCAPES } from "./escapes.ts";

const [, , name, targets = "{}"] = process.argv;
const row = ESCAPES.find((one) => one.name === name && one.harmless);
console.log(JSON.stringify((await row?.run(JSON.parse(targets))) ?? []));
process.exit(0);
