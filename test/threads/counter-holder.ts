/** Ends in the middle of a count: the one value that the table converts while it holds a lock ends the thread. */
import { workerData } from "node:worker_threads";
import { CounterTable, type CounterTableSpec } from "../../src/threads/counter-table.ts";

const fatal = { valueOf: () => process.exit() };
const now = Date.now();
new CounterTable(workerData as CounterTableSpec).take("k", 5, now + 60_000, now, fatal as unknown as number);
