/**
 * What the pipeline asks of an index of routes, whichever flavour of routes it holds. An index never changes:
 * an edit makes the next one, which shares with it whatever the edit did not touch. A change to one route of
 * ten thousand then costs what that one route costs, and requests that hold the old index go on by it.
 */
import type { Match, MatchInput, RouteInput } from "./router.ts";

export interface RouteIndex<T> {
  /**
   * The route of a request, or null. The result is one object that the next call overwrites: take its fields
   * before anything is awaited.
   */
  match(input: MatchInput): Match<T> | null;
  /** Starts a change. This index answers as it did, whatever becomes of the edit. */
  edit(): RouteEdit<T>;
}

/**
 * A change on its way to an index. Large ones may pause between two calls, as nobody sees them before `done`;
 * one that is dropped leaves nothing behind.
 */
export interface RouteEdit<T> {
  /** Takes a route out, if it is there. */
  remove(routeId: string): void;
  /** Puts a route in, in place of the one with its id if there is one. Routes of other kinds are passed over. */
  add(route: RouteInput, data: T): void;
  /**
   * The index with the change. The edit is over then.
   * @throws {RouterError} naming every route and field that cannot be built
   */
  done(): RouteIndex<T>;
}
