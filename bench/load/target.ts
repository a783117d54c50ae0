/** What the clients are pointed at, and what each of them brings back. */

export interface Target {
  port: number;
  tls: boolean;
  path: string;
  headers: Record<string, string>;
  /** Sends POST with a body of so many bytes; 0 sends GET. */
  bodyBytes: number;
  /** Above 0, requests go to `/r/<n>/small` for n below it in place of `path`. */
  routes: number;
}

export interface LoadResult {
  requests: number;
  seconds: number;
  p50Us: number;
  p99Us: number;
  p999Us: number;
  maxUs: number;
  /** Empty when every answer was as it should be. */
  errors: string[];
}

export function urlOf({ port, tls, path }: Target): string {
  return `${tls ? "https" : "http"}://127.0.0.1:${port}${path}`;
}
