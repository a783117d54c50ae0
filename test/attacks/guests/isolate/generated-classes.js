// biome-ignore-all lint: hostile on purpose
/** Classes made without end, each with a prototype of its own. */
import { definePlugin, record, reply } from "@gatehouse/sdk";

const schema = record({});

export default definePlugin({
  name: "hostile",
  version: "1.0.0",
  priority: 1,
  schema,
  create(_config, host) {
    return {
      access(ctx) {
        const kept = [];
        for (;;) {
          const made = class {
            static a = {};
            b() {}
            get c() {
              return 1;
            }
          };
          made.prototype[`m${kept.length}`] = () => made;
          kept.push(made);
        }
      },
    };
  },
});
