/**
 * Makes every system call that its first argument lists (a JSON array of names) with arguments that do no harm,
 * and prints which were not refused. With a room as its second argument it seals itself first.
 */
import { writeSync } from "node:fs";
import { seal } from "../../../../src/sandbox/cordon/seal.ts";
import { systemCall } from "../../../attacks/reach/native.ts";

const REFUSED = [-1, -38];
if (process.argv[3] !== undefined) seal(process.argv[3]);
const names: string[] = JSON.parse(process.argv[2] ?? "[]");
const results = names.map((name): [string, number] => [name, systemCall(name, -1, -1, -1, -1, -1, -1)]);
writeSync(1, JSON.stringify(results.filter(([, result]) => !REFUSED.includes(result))));
