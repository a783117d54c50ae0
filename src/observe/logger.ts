/**
 * Logs: JSON lines by pino, written by the main thread alone. The gateway's own log goes to stdout; the access
 * log to its file (or stdout), a record for each request. Neither waits for whoever reads them.
 */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import pino, { type Logger } from "pino";
import { inertJson } from "../printable.ts";
import type { Settings } from "../settings.ts";
import type { AccessRecord } from "../threads/messages.ts";
import type { LineWriter } from "./line-writer.ts";

/** Kong's levels in pino's: `notice` is pino's info, what Kong calls info is finer. */
const LEVELS: Record<string, string> = {
  debug: "debug",
  info: "info",
  notice: "info",
  warn: "warn",
  error: "error",
  crit: "fatal",
  alert: "fatal",
  emerg: "fatal",
};

/** Pino's name of a level of Kong's. */
export const pinoLevel = (level: string): string => LEVELS[level] ?? "info";

export function createLogger(settings: Settings, stdout: LineWriter): Logger {
  return pino(
    {
      level: pinoLevel(settings.logLevel),
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    stdout,
  );
}

export interface AccessLog {
  write(records: readonly AccessRecord[]): void;
  /** Resolves when everything is with the system. */
  close(): Promise<void>;
}

/** Null if requests are not logged. */
export function createAccessLog(settings: Settings, stdout: LineWriter): AccessLog | null {
  const path = settings.proxyAccessLog;
  if (path === null) return null;
  if (path === "/dev/stdout")
    return {
      write: (records) => stdout.write(records.map(line).join("")),
      close: async () => {},
    };
  mkdirSync(dirname(path), { recursive: true });
  const destination = pino.destination({ dest: path, sync: false, minLength: 4096 });
  // What is buffered is written within a second even if nothing follows.
  const timer = setInterval(() => destination.flush(), 1000);
  timer.unref();
  return {
    write(records) {
      for (const record of records) destination.write(inertJson(line(record)));
    },
    close() {
      clearInterval(timer);
      return new Promise((resolve) => {
        destination.flush((error) => {
          if (error) return resolve();
          destination.end();
          resolve();
        });
      });
    },
  };
}

function line(record: AccessRecord): string {
  return `${JSON.stringify(fields(record))}\n`;
}

/** Names of an access record's values, in their order. */
const FIELDS: readonly string[] = [
  "time",
  "client_ip",
  "method",
  "path",
  "status",
  "request_bytes",
  "response_bytes",
  "total_ms",
  "upstream_ms",
  "request_id",
  "workspace",
  "route",
  "service",
  "consumer",
  "source",
];

function fields(record: AccessRecord): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [i, name] of FIELDS.entries()) out[name] = record[i];
  out.time = new Date(record[0]).toISOString();
  return out;
}
