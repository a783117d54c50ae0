/**
 * The AssemblyScript compiler, kept warm: loaded and run once it takes a third of the time. A process of its own, because
 * it keeps a lot of memory and defines globals.
 */
interface Asc {
  main(
    args: readonly string[],
  ): Promise<{ readonly error: Error | null; readonly stderr: { toString(): string } }>;
}

/** Its types declare globals that are not those of Node. */
const COMPILER: string = "assemblyscript/asc";
const compiler = import(COMPILER) as Promise<Asc>;

process.on("message", async ({ id, args }: { readonly id: number; readonly args: readonly string[] }) => {
  let failed: string | null;
  try {
    const { error, stderr } = await (await compiler).main(args);
    failed = error === null ? null : stderr.toString() || error.message;
  } catch (error) {
    failed = (error as Error).message;
  }
  process.send?.({ id, failed });
});
