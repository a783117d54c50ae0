/**
 * Gatehouse plugins in AssemblyScript: a thin layer over the Extism kernel's functions and the JSON that crosses.
 *
 *     import { Answer, Call } from "@gatehouse/sdk/assemblyscript";
 *
 *     export function access(): i32 {
 *       const call = new Call();
 *       const answer = new Answer();
 *       answer.request.set("X-Seen", call.path);
 *       return answer.send();
 *     }
 *
 * One export for each phase of the manifest, without parameters, returning 0 when all went well.
 */
// @ts-nocheck AssemblyScript, not TypeScript
export { Answer, Edit, fail } from "./answer";
export { base64, fromBase64 } from "./base64";
export { Call, config } from "./call";
export { count, Fetched, fetch, KeyValues, LogLevel, log, secret } from "./host";
export { member, quote, skip, stringAt, stringsAt, unit } from "./json";
