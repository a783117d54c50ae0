/**
 * A process that opens the store of a prefix and keeps it open, for tests of two gateways and of odd file systems. It
 * prints `open`, or why it cannot.
 *
 *     opener.ts PREFIX
 */
import { loadSettings } from "../../src/settings.ts";
import { openStore } from "../../src/stores/open-store.ts";

const { settings } = loadSettings({ flags: { prefix: process.argv[2] } });
if (settings === undefined) throw new Error("there is no such prefix");
try {
  await openStore(settings);
  console.log("open");
} catch (error) {
  console.log(String(error));
}
