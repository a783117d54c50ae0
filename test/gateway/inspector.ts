/**
 * A way into a running gateway's threads that any operator has: Node's inspector. Tests end a data thread
 * through it; nothing in the gateway knows of this.
 */
import { once } from "node:events";

/** NODE_OPTIONS that make a process print the address of its inspector. */
export const INSPECTED = "--inspect=127.0.0.1:0";

/** The inspector's address in what a process has printed. */
export function inspectorUrl(output: string): string {
  const url = /^Debugger listening on (ws:\/\/\S+)$/m.exec(output)?.[1];
  if (url === undefined) throw new Error(`no inspector's address in:\n${output}`);
  return url;
}

/** Evaluates an expression in the worker thread of that name, and does not wait for it. */
export async function evaluateInThread(url: string, name: string, expression: string): Promise<void> {
  const socket = new WebSocket(url);
  await once(socket, "open");
  let id = 0;
  const send = (method: string, params: object) => socket.send(JSON.stringify({ id: ++id, method, params }));
  const found = Promise.withResolvers<string>();
  socket.addEventListener("message", ({ data }) => {
    const { method, params } = JSON.parse(String(data)) as {
      method?: string;
      params: { sessionId: string; workerInfo: { title: string } };
    };
    if (method === "NodeWorker.attachedToWorker" && params.workerInfo.title.includes(name))
      found.resolve(params.sessionId);
  });
  send("NodeWorker.enable", { waitForDebuggerOnStart: false });
  const sessionId = await found.promise;
  const message = JSON.stringify({ id: 1, method: "Runtime.evaluate", params: { expression } });
  send("NodeWorker.sendMessageToWorker", { sessionId, message });
  // The socket's answer means that the message is on its way into the thread.
  await once(socket, "message");
  socket.close();
}
