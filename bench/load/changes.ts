/**
 * Changes of configuration while the open-loop client measures: the gateway is asked to write one route, or sent a
 * whole configuration in which one route differs; nginx is told to reload its file. The client makes them itself,
 * between two requests: another process on its core would have to wait for it, or keep it waiting.
 */
import { readFileSync } from "node:fs";
import { connect } from "node:net";

export interface ChangePlan {
  everyMs: number;
  /** A request to this port of the loopback, with the contents of the two files in turn. */
  send?: { port: number; method: "POST" | "PATCH"; path: string; bodies: [string, string] };
  /** SIGHUP to this process. */
  signal?: number;
}

export interface ChangeReport {
  made: number;
  /** From sending the first byte to the first of the answer, when every data thread serves the change. */
  liveMs: number[];
  errors: string[];
}

/** Makes a change now and every `everyMs` (later, if one takes longer) until `stop` is called. */
export function makeChanges(plan: ChangePlan): { stop(): Promise<ChangeReport> } {
  const report: ChangeReport = { made: 0, liveMs: [], errors: [] };
  const requests = plan.send?.bodies.map((file) => requestOf(plan.send!, readFileSync(file)));
  let underWay: Promise<void> = Promise.resolve();
  let busy = false;

  const change = async () => {
    if (busy) return;
    busy = true;
    try {
      if (plan.signal !== undefined) process.kill(plan.signal, "SIGHUP");
      if (plan.send !== undefined && requests !== undefined)
        report.liveMs.push(await send(plan.send.port, requests[report.made % 2]!));
      report.made++;
    } catch (error) {
      report.errors.push(`a change failed: ${error instanceof Error ? error.message : error}`);
    }
    busy = false;
  };
  const begin = () => {
    if (!busy) underWay = change();
  };
  begin();
  const timer = setInterval(begin, plan.everyMs);
  return {
    async stop() {
      clearInterval(timer);
      await underWay;
      return report;
    },
  };
}

function requestOf({ method, path }: { method: string; path: string }, body: Buffer): Buffer {
  const head =
    `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n` +
    `Content-Length: ${body.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), body]);
}

/** Resolves with the milliseconds until the answer began, once it has ended. */
function send(port: number, request: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    let head = "";
    let answeredAt = 0;
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const started = performance.now();
    socket.write(request);
    socket.on("data", (bytes) => {
      if (answeredAt > 0) return;
      answeredAt = performance.now();
      head = bytes.toString("latin1", 0, 300);
    });
    socket.once("error", reject);
    socket.once("close", () => {
      if (/^HTTP\/1\.1 20\d /.test(head)) resolve(answeredAt - started);
      else reject(new Error(head || "the connection was closed without an answer"));
    });
  });
}
