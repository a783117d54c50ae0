import { MemoryDatabase, MemoryStore } from "../../src/stores/memory.ts";
import { describeStore } from "./contract.ts";

// What is closed may be opened again while the process lasts.
describeStore("memory", async (options) => {
  const database = new MemoryDatabase(options);
  return { open: async () => new MemoryStore(database), async [Symbol.asyncDispose]() {} };
});
