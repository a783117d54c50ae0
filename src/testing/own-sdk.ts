/**
 * Loaded before an author's tests: the SDK that they import is the one of this gateway, wherever the plugin's directory
 * lies, as it is when the plugin is bundled.
 */
import { registerHooks } from "node:module";

registerHooks({
  resolve(specifier, context, next) {
    const isSdk = specifier === "@gatehouse/sdk" || specifier.startsWith("@gatehouse/sdk/");
    return next(specifier, isSdk ? { ...context, parentURL: import.meta.url } : context);
  },
});
