/** Reading what seal-file.ts writes, for a cordon: without the tables that it is made of. */

export const SEAL_FILE = "seal.filter";
/** Stands in the filter for the process's own id. No process has it, and no other constant of the filter. */
export const PLACE_OF_PID = 0x7fff_fff7;
const HEAD_BYTES = 4;
/** Of an instruction of a filter (`struct sock_filter`). */
export const INSTRUCTION_BYTES = 8;
const CONSTANT_AT = 4;

/** @throws {Error} if the filter does not have exactly one place for the id */
export function readSealFile(file: Buffer, pid: number): { call: number; filter: Buffer } {
  const filter = file.subarray(HEAD_BYTES);
  let places = 0;
  for (let at = CONSTANT_AT; at < filter.length; at += INSTRUCTION_BYTES)
    if (filter.readUInt32LE(at) === PLACE_OF_PID) {
      filter.writeUInt32LE(pid, at);
      places++;
    }
  if (places !== 1)
    throw new Error(`the filter of system calls has ${places} places for a process id, not 1`);
  return { call: file.readUInt32LE(0), filter };
}
