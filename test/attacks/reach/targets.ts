/** What an escaped guest is told to go for: all of it exists, outside. */
export interface Targets {
  /** A file that everybody may read and write, as far as its own rights go. */
  readonly sentinel: string;
  readonly prefix: string;
  readonly gatewayPid: number;
  readonly siblingPid: number;
  readonly tcpPort: number;
  readonly udpPort: number;
  /** Names of abstract sockets, without their NUL: a listener's, and the data threads' own. */
  readonly abstractNames: readonly string[];
  readonly socketPath: string;
  /** A word of the gateway's environment. */
  readonly secret: string;
}

/** One attempt. Returns what it could reach, in words. */
export type Escape = (targets: Targets) => string[] | Promise<string[]>;
