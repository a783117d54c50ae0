/** Settings as the Admin API shows them: by their names, without what is secret. */
import { camelCase, SETTINGS, type Settings } from "./table.ts";

/** What stands in the place of a secret that is set, in Kong's form. */
const MASK = "******";

export function shownSettings(settings: Settings): Record<string, unknown> {
  const values = settings as unknown as Record<string, unknown>;
  return Object.fromEntries(
    Object.entries(SETTINGS).map(([name, { secret }]) => {
      const value = values[camelCase(name)] ?? null;
      return [name, secret && value !== null ? MASK : value];
    }),
  );
}
