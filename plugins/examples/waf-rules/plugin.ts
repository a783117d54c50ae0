/**
 * waf-rules: scores a request by a small set of rules for common attacks, and refuses it from a score on.
 * A first net, not a wall: an upstream that trusts its input is not safe behind it.
 */
import { array, definePlugin, errorReply, integer, record, set, string } from "@gatehouse/sdk";
import { placesOf } from "./normalize.ts";
import { PLACES, RULES, type Rule } from "./rules.ts";

const schema = record({
  mode: string({
    default: "block",
    oneOf: ["block", "report"],
    description: "What a request gets that scores enough: a refusal, or a line in the log alone.",
  }),
  threshold: integer({ default: 5, between: [1, 1000], description: "Score from which on it does." }),
  status: integer({ default: 403, between: [400, 499], description: "Of the refusal." }),
  disabled_rules: set(string(), { default: [], description: "Rules that are left out, by id." }),
  rules: array(
    record({
      id: string({ required: true, match: "^[a-z0-9-]{1,64}$", description: "Its name in the log." }),
      pattern: string({ required: true, lenMax: 1024, description: "Regular expression, in lower case." }),
      places: set(string({ oneOf: PLACES }), {
        default: [...PLACES],
        description: "Where it is looked for.",
      }),
      score: integer({ default: 5, between: [1, 100], description: "Added where it is found." }),
    }),
    { default: [], lenMax: 100, description: "Rules of your own, besides those of the plugin." },
  ),
});

export default definePlugin({
  name: "waf-rules",
  version: "1.0.0",
  priority: 1990,
  schema,
  create(config, host) {
    const left = RULES.filter(({ id }) => !config.disabled_rules.includes(id));
    const own = config.rules.map(
      ({ id, pattern, places, score }): Rule => ({
        id,
        what: "a rule of the configuration",
        places,
        pattern: new RegExp(pattern, "mu"),
        score,
      }),
    );
    const rules = [...left, ...own];

    return {
      async access(ctx) {
        const places = placesOf(ctx, await ctx.request.readBody());
        const broken = rules.filter(({ pattern, places: where }) =>
          where.some((place) => pattern.test(places[place])),
        );
        if (broken.length === 0) return;
        const score = broken.reduce((sum, rule) => sum + rule.score, 0);
        const refused = score >= config.threshold && config.mode === "block";
        for (const { id } of broken)
          host.count("waf_rule_matches", "Requests by the rule that they broke.", { rule: id }, 1);
        // Names of rules, never what the client sent: a log is no place for an attack.
        const ids = broken.map(({ id }) => id).join(", ");
        host.log("warn", `${refused ? "refused" : "let pass"} with a score of ${score}: ${ids}`);
        return refused ? errorReply(ctx.request, config.status, "Request refused") : undefined;
      },
    };
  },
});
