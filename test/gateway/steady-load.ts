/** Traffic while something happens to the gateway, and what became of every request. */
import { Agent, get as httpGet } from "node:http";

/** Clients that ask one after the other on kept connections until they are stopped. */
export class SteadyLoad {
  readonly counts: Record<string, number> = {};
  readonly #agent = new Agent({ keepAlive: true });
  readonly #clients: Promise<void>[];
  #stopped = false;

  constructor(url: string, clients: number) {
    this.#clients = Array.from({ length: clients }, async () => {
      while (!this.#stopped) {
        const outcome = await this.#ask(url);
        this.counts[outcome] = (this.counts[outcome] ?? 0) + 1;
      }
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#clients);
    this.#agent.destroy();
  }

  #ask(url: string): Promise<string> {
    return new Promise((resolve) => {
      httpGet(url, { agent: this.#agent }, (response) => {
        let body = "";
        response.setEncoding("utf8").on("data", (text: string) => {
          body += text;
        });
        response.on("error", (error) => resolve(error.message));
        response.on("end", () => resolve(`${response.statusCode} ${response.headers["x-version"]} ${body}`));
      }).on("error", (error) => resolve(error.message));
    });
  }
}
