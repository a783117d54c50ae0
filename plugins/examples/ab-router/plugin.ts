/**
 * ab-router: sends each visitor to one of several variants of a service, and keeps them there by a cookie.
 * The variant goes upstream in a header, and, where it has a prefix, in front of the path: one service or two.
 */
import { array, type Context, definePlugin, fieldValue, integer, record, string } from "@gatehouse/sdk";

/** What the access hook leaves for the response: the variant that a visitor was given just now. */
const DRAWN = "ab-router.drawn";
const COOKIE_NAME = "^[A-Za-z0-9_-]{1,64}$";

const schema = record({
  variants: array(
    record({
      name: string({ required: true, match: "^[a-z0-9-]{1,32}$", description: "What the cookie holds." }),
      weight: integer({ default: 1, between: [0, 1000], description: "Share of new visitors." }),
      path_prefix: string({ startsWith: "/", description: "Put in front of the path that goes upstream." }),
    }),
    { required: true, lenMin: 1, lenMax: 16 },
  ),
  header: string({ default: "X-Variant", description: "Tells the upstream which variant it is." }),
  cookie: string({ default: "variant", match: COOKIE_NAME, description: "Holds a visitor's variant." }),
  max_age_seconds: integer({ default: 2_592_000, gt: 0, description: "How long a visitor keeps it." }),
  override_header: string({ description: "A tester names the variant in this request header." }),
});

export default definePlugin({
  name: "ab-router",
  version: "1.0.0",
  priority: 780,
  schema,
  create({ variants, header, cookie, max_age_seconds, override_header }, host) {
    type Variant = (typeof variants)[number];
    const byName = new Map(variants.map((variant) => [variant.name, variant]));
    const total = variants.reduce((sum, { weight }) => sum + weight, 0);
    const override = override_header?.toLowerCase();

    /** By weight; the first one if all weigh nothing. */
    function draw(): Variant {
      const [a = 0, b = 0, c = 0, d = 0] = host.random(4);
      let left = (((a << 24) | (b << 16) | (c << 8) | d) >>> 0) % Math.max(total, 1);
      for (const variant of variants) {
        if (left < variant.weight) return variant;
        left -= variant.weight;
      }
      return variants[0] as Variant;
    }

    function kept(ctx: Context): Variant | undefined {
      const asked = override === undefined ? undefined : ctx.request.headers.get(override);
      return byName.get(asked ?? "") ?? byName.get(cookieOf(ctx, cookie) ?? "");
    }

    return {
      access(ctx) {
        let variant = kept(ctx);
        if (variant === undefined) {
          variant = draw();
          ctx.vars[DRAWN] = variant.name;
        }
        ctx.request.headers.set(header, fieldValue(variant.name));
        if (variant.path_prefix !== null)
          ctx.request.upstreamPath = variant.path_prefix.replace(/\/$/, "") + ctx.request.path;
      },
      headerFilter(ctx) {
        // Whoever caches must not give one visitor's variant to another.
        ctx.response.headers.add("Vary", "Cookie");
        const drawn = ctx.vars[DRAWN];
        if (typeof drawn !== "string") return;
        const value = `${cookie}=${drawn}; Path=/; Max-Age=${max_age_seconds}; HttpOnly; SameSite=Lax`;
        ctx.response.headers.add("Set-Cookie", value);
      },
    };
  },
});

function cookieOf({ request }: Context, name: string): string | undefined {
  for (const field of request.headers.getAll("cookie"))
    for (const pair of field.split(";")) {
      const [key, value] = pair.trim().split("=", 2);
      if (key === name) return value;
    }
  return undefined;
}
