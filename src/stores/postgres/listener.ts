/**
 * Tells of others' writes: a connection that listens, and is replaced when it is lost. Now and then it also asks for the
 * revision: a notification can get lost with a connection whose end nobody noticed.
 */
import pg from "pg";
import { clientConfig, type PostgresOptions, quoted } from "./connections.ts";

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5000;
const ASK_MS = 5000;

export interface ListenerOptions {
  readonly connection: PostgresOptions;
  readonly channel: string;
  /** A notification came; what it says. */
  readonly onNotification: (payload: string) => void;
  /** It listens (again): whatever happened before has gone unheard. `first`: for the first time. */
  readonly onListening: (first: boolean) => void;
  /** The answer of `ask`, which is asked for from time to time. */
  readonly ask: string;
  readonly onAnswer: (row: Readonly<Record<string, unknown>>) => void;
}

export class Listener {
  readonly #options: ListenerOptions;
  #client: pg.Client | null = null;
  #timer: NodeJS.Timeout | null = null;
  #pauseMs = FIRST_PAUSE_MS;
  #first = true;
  #closed = false;

  constructor(options: ListenerOptions) {
    this.#options = options;
    void this.#connect();
  }

  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    const client = this.#client;
    this.#client = null;
    // Nothing waits for a farewell from a peer that may be silent.
    client?.connection.stream.destroy();
  }

  async #connect(): Promise<void> {
    const client = new pg.Client(clientConfig(this.#options.connection));
    this.#client = client;
    client.on("error", () => this.#lose(client));
    client.on("end", () => this.#lose(client));
    client.on("notification", ({ payload = "" }) => this.#options.onNotification(payload));
    try {
      await client.connect();
      await client.query(`LISTEN ${quoted(this.#options.channel)}`);
    } catch {
      return this.#lose(client);
    }
    if (this.#client !== client) return;
    this.#pauseMs = FIRST_PAUSE_MS;
    const first = this.#first;
    this.#first = false;
    this.#options.onListening(first);
    await this.#ask(client);
  }

  async #ask(client: pg.Client): Promise<void> {
    try {
      const { rows } = await client.query(this.#options.ask);
      if (this.#client !== client) return;
      if (rows[0] !== undefined) this.#options.onAnswer(rows[0]);
    } catch {
      return this.#lose(client);
    }
    this.#timer = setTimeout(() => this.#ask(client), ASK_MS);
  }

  #lose(client: pg.Client): void {
    if (this.#client !== client) return;
    this.#client = null;
    if (this.#timer !== null) clearTimeout(this.#timer);
    client.connection.stream.destroy();
    if (this.#closed) return;
    // Gateways that were cut off together do not all come back in the same moment.
    this.#timer = setTimeout(() => this.#connect(), this.#pauseMs * (0.5 + Math.random() / 2));
    this.#pauseMs = Math.min(this.#pauseMs * 2, LONGEST_PAUSE_MS);
  }
}
