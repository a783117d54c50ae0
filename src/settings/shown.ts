/** Settings as they may be shown: by their own names, secrets hidden as Kong hides them. */
import { camelCase, SETTINGS, type Setting, type Settings } from "./table.ts";

const HIDDEN = "******";

export function shownSettings(settings: Settings): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(SETTINGS as Readonly<Record<string, Setting>>).map(([name, { secret }]) => {
      const value = settings[camelCase(name) as keyof Settings];
      return [name, secret && value !== null ? HIDDEN : value];
    }),
  );
}
