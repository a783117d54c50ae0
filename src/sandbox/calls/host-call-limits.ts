/**
 * The limits of what a guest may ask of the gateway, in figures. Shared by the runtime inside an isolate, which
 * tells a good guest what is wrong, and by the data thread, which believes no guest that it was told.
 */

const KIB = 1024;

/** Of a value that a guest leaves in the shared vars: whoever reads it may recurse. */
export const MAX_VAR_DEPTH = 32;

export const HOST_CALL_LIMITS = {
  /** Lines of one hook call; a line that says how many were dropped may follow. */
  logLines: 20,
  /** Lines beyond these that are merely dropped. */
  droppedLines: 1000,
  logCharacters: KIB,
  /** Random bytes of one hook call, those in UUIDs included. */
  randomBytes: 4 * KIB,
  /** Requests of one hook call that are under way at the same time. */
  fetches: 6,
  fetchUrlCharacters: 4 * KIB,
  fetchHeaders: 50,
  fetchHeaderBytes: 16 * KIB,
  fetchBodyBytes: 128 * KIB,
  kvKeyBytes: 256,
  kvValueBytes: 64 * KIB,
  kvTtlMs: 366 * 86_400_000,
  secretNameCharacters: 64,
} as const;

/** What a host call may take as JSON: the longest body or value in base64, and room for the rest. */
export const MAX_ARGUMENTS_BYTES = 256 * KIB;
/**
 * Brackets, braces and commas in all arguments of one turn, those in texts included. What they hold makes JSON dear: four
 * mebibytes of one text are read in 20 ms, of empty lists in 150.
 */
export const MAX_ARGUMENTS_PARTS = 128 * KIB;
