/**
 * The routes of a gateway, of both kinds: expressions are asked before classic routes, as every expression comes
 * before all of them (Kong gives an expression the top byte 0xFF). A gateway without expressions pays one
 * comparison.
 */

import { type Explanation, explainExpressions, summarize } from "./explain.ts";
import { ExpressionIndex } from "./expressions/expression-index.ts";
import type { RouteEdit, RouteIndex } from "./route-index.ts";
import {
  type Match,
  type MatchInput,
  type RouteInput,
  type RouteProblem,
  Router,
  RouterError,
} from "./router.ts";

export class RouteTable<T> implements RouteIndex<T> {
  readonly #classic: Router<T>;
  readonly #expressions: ExpressionIndex<T>;
  readonly #hasExpressions: boolean;

  private constructor(classic: Router<T>, expressions: ExpressionIndex<T>) {
    this.#classic = classic;
    this.#expressions = expressions;
    this.#hasExpressions = expressions.size > 0;
  }

  static empty<T>(): RouteTable<T> {
    return new RouteTable<T>(Router.empty(), ExpressionIndex.empty());
  }

  match(input: MatchInput): Match<T> | null {
    if (this.#hasExpressions) {
      const found = this.#expressions.match(input);
      if (found !== null) return found;
    }
    return this.#classic.match(input);
  }

  /** Why a request goes where it goes; for people, as every route is tried. */
  explain(input: MatchInput): Explanation {
    const expressions = explainExpressions(this.#expressions.routes(), input);
    return summarize(chained(expressions, this.#classic.tried(input)), input);
  }

  edit(): RouteEdit<T> {
    const classic = this.#classic.edit();
    const expressions = this.#expressions.edit();
    return {
      remove(routeId) {
        classic.remove(routeId);
        expressions.remove(routeId);
      },
      add(route: RouteInput, data: T) {
        const isExpression = typeof route.expression === "string";
        (isExpression ? classic : expressions).remove(route.id);
        (isExpression ? expressions : classic).add(route, data);
      },
      done: () => {
        const problems: RouteProblem[] = [];
        const nextClassic = attempt(() => classic.done(), problems);
        const nextExpressions = attempt(() => expressions.done(), problems);
        if (nextClassic === null || nextExpressions === null) throw new RouterError(problems);
        return new RouteTable(nextClassic, nextExpressions);
      },
    };
  }
}

function* chained<V>(first: Iterable<V>, second: Iterable<V>): Generator<V> {
  yield* first;
  yield* second;
}

function attempt<I>(run: () => I, problems: RouteProblem[]): I | null {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof RouterError)) throw error;
    problems.push(...error.problems);
    return null;
  }
}
