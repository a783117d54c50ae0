/** What is being waited for, on a terminal: a line that counts seconds, and is gone when it is done. */

const EVERY_MS = 500;
const CLEAR = "\r\u001b[K";

/** Does some work; whoever looks at a terminal sees that it goes on. Programs see nothing. */
export async function withProgress<T>(what: string, work: () => Promise<T>): Promise<T> {
  const { stderr } = process;
  if (!stderr.isTTY) return work();
  const began = performance.now();
  const show = () => {
    stderr.write(`${CLEAR}${what} ... ${((performance.now() - began) / 1000).toFixed(0)} s`);
  };
  const timer = setInterval(show, EVERY_MS);
  try {
    return await work();
  } finally {
    clearInterval(timer);
    stderr.write(CLEAR);
  }
}
