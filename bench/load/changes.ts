/**
 * Changes of configuration while the open-loop client measures: the gateway is sent a whole configuration in
 * which one route differs, nginx is told to reload its file. The client makes them itself, between two requests:
 * another process on its core would have to wait for it, or keep it waiting.
 */
import { readFileSync } from "node:fs";
import { connect } from "node:net";

export interface ChangePlan {
  everyMs: number;
  /** `POST /config` on this port of the loopback, the two documents in turn. */
  post?: { port: number; documents: [string, string] };
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
  const posts = plan.post?.documents.map((file) => postOf(readFileSync(file)));
  let underWay: Promise<void> = Promise.resolve();
  let busy = false;

  const change = async () => {
    if (busy) return;
    busy = true;
    try {
      if (plan.signal !== undefined) process.kill(plan.signal, "SIGHUP");
      if (plan.post !== undefined && posts !== undefined)
        report.liveMs.push(await send(plan.post.port, posts[report.made % 2]!));
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

function postOf(document: Buffer): Buffer {
  const head =
    "POST /config HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n" +
    `Content-Length: ${document.length}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head), document]);
}

/** Resolves with the milliseconds until the answer began, once it has ended. */
function send(port: number, post: Buffer): Promise<number> {
  return new Promise((resolve, reject) => {
    let head = "";
    let answeredAt = 0;
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    const started = performance.now();
    socket.write(post);
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
