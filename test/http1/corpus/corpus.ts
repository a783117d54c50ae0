/** The whole corpus, by side and verdict. */
import { ACCEPTED_REQUESTS as SOUND_REQUESTS } from "./accepted-requests.ts";
import { REFUSED_FRAMING } from "./refused-framing.ts";
import { REFUSED_HEADS } from "./refused-heads.ts";
import { ACCEPTED_BOUNDS, REFUSED_BOUNDS } from "./request-bounds.ts";
import { ACCEPTED_OCTETS, REFUSED_OCTETS } from "./request-octets.ts";
import { MORE_ACCEPTED_RESPONSES, MORE_REFUSED_RESPONSES } from "./response-bounds.ts";
import {
  ACCEPTED_RESPONSES as SOUND_RESPONSES,
  REFUSED_RESPONSES as UNSOUND_RESPONSES,
} from "./responses.ts";

export const ACCEPTED_REQUESTS = [...SOUND_REQUESTS, ...ACCEPTED_OCTETS, ...ACCEPTED_BOUNDS];
export const REFUSED_REQUESTS = [...REFUSED_HEADS, ...REFUSED_FRAMING, ...REFUSED_OCTETS, ...REFUSED_BOUNDS];
export const ACCEPTED_RESPONSES = [...SOUND_RESPONSES, ...MORE_ACCEPTED_RESPONSES];
export const REFUSED_RESPONSES = [...UNSOUND_RESPONSES, ...MORE_REFUSED_RESPONSES];
