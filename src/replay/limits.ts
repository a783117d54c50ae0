/** How much is recorded, and how much a replay may take. */

/** Recordings of one workspace, and their bytes: the newest. */
export const MOST_RECORDINGS = 1000;
export const MOST_RECORDING_BYTES = 32 << 20;

/** Requests that one plugin entity records in a second on one data thread. */
export const MOST_PER_SECOND = 50;
/** Bytes that are on their way from one data thread, of all workspaces and of one. */
export const MOST_ON_THE_WAY = 8 << 20;
export const MOST_ON_THE_WAY_OF_ONE = 2 << 20;

/** How long a replay may take; what has not been replayed by then is left out, and said so. */
export const REPLAY_MS = 60_000;
/** Recordings of one replay where nobody says how many. */
export const DEFAULT_REPLAYED = 100;
/** Differing requests that a report names. */
export const MOST_REPORTED = 100;
/** Replays that wait while one runs; the next one is told to come back. */
export const MAX_WAITING_REPLAYS = 4;
