/** Every pair of cuts of every message of the corpus: minutes of work, and no seed. */
import {
  ACCEPTED_REQUESTS,
  ACCEPTED_RESPONSES,
  REFUSED_REQUESTS,
  REFUSED_RESPONSES,
} from "../http1/corpus/corpus.ts";
import { readRequests, readResponse, settled } from "../http1/harness.ts";
import { dependsOnSplit } from "../http1/splits.ts";
import { NEXT } from "./http1-stream.ts";

/** The number of pairs is the square of the length, and each pair is a reading of the whole. */
const LONGEST = 400;

/** @returns what depends on how it arrives, or null. */
export function everySplit(say: (text: string) => void): string | null {
  const messages = [
    ...[...ACCEPTED_REQUESTS, ...REFUSED_REQUESTS].map(({ name, bytes }) => ({
      name,
      bytes: bytes + NEXT,
      read: readRequests,
    })),
    ...[...ACCEPTED_RESPONSES, ...REFUSED_RESPONSES].map(({ name, bytes, method }) => ({
      name,
      bytes,
      read: (pieces: Buffer[]) => settled(readResponse(pieces, method)),
    })),
  ].filter(({ bytes }) => bytes.length <= LONGEST);
  for (const [i, { name, bytes, read }] of messages.entries()) {
    const fault = dependsOnSplit(Buffer.from(bytes, "latin1"), read, true);
    if (fault !== null) return `${name}: ${fault}`;
    if (i % 100 === 99) say(`${i + 1} of ${messages.length} messages, every pair of cuts, one reading`);
  }
  say(`${messages.length} messages, every pair of cuts, one reading`);
  return null;
}
