/** Clients that never stop: each keeps one connection busy, and every answer is kept for the test to judge. */
import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";

export interface Outcome {
  /** Counts requests of all clients in the order in which they were begun. */
  readonly begun: number;
  /** Milliseconds from asking to the last byte. */
  readonly ms: number;
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export interface LoadOptions {
  readonly url: string;
  readonly clients: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export class Load implements AsyncDisposable {
  readonly outcomes: Outcome[] = [];
  /** Requests that got no answer. */
  readonly errors: Error[] = [];
  /** Connections that were opened: as many as clients, if none was closed under them. */
  connections = 0;
  begun = 0;
  readonly #options: LoadOptions;
  readonly #clients: Promise<void>[];
  #stopped = false;
  #listeners = new Set<() => void>();

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#clients = Array.from({ length: options.clients }, () => this.#client());
  }

  /** Resolves when this many more requests, begun from now on, were answered or have failed. */
  async proceed(count: number): Promise<void> {
    const from = this.begun;
    const done = () =>
      this.outcomes.reduce((sum, { begun }) => sum + (begun >= from ? 1 : 0), 0) + this.errors.length >=
      count;
    while (!done()) await new Promise<void>((resolve) => this.#listeners.add(resolve));
  }

  /** Lets every client finish the request that it is at. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async #client(): Promise<void> {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (!this.#stopped) {
      const begun = this.begun++;
      try {
        const started = performance.now();
        const answer = await this.#send(agent);
        this.outcomes.push({ begun, ms: performance.now() - started, ...answer });
      } catch (error) {
        this.errors.push(error as Error);
      }
      for (const tell of this.#listeners) tell();
      this.#listeners.clear();
    }
    agent.destroy();
  }

  async #send(agent: Agent): Promise<Omit<Outcome, "begun" | "ms">> {
    const { url, headers = {} } = this.#options;
    const outgoing = request(url, { agent, headers });
    outgoing.end();
    const [incoming] = (await once(outgoing, "response")) as [IncomingMessage];
    if (!outgoing.reusedSocket) this.connections++;
    let body = "";
    for await (const chunk of incoming.setEncoding("utf8")) body += chunk;
    return { status: incoming.statusCode as number, headers: incoming.headers, body };
  }
}
