/**
 * A data thread's part of the access log: records are gathered and posted in batches, so that a request pays for none
 * of the writing.
 */
import type { Exchange } from "../pipeline/exchange.ts";
import type { AccessRecord } from "../threads/messages.ts";

const BATCH = 256;
const DELAY_MS = 50;

export class AccessBatches {
  readonly #post: (records: readonly AccessRecord[]) => void;
  #records: AccessRecord[] = [];
  #timer: NodeJS.Timeout | null = null;

  constructor(post: (records: readonly AccessRecord[]) => void) {
    this.#post = post;
  }

  /** A request is over. */
  add(x: Exchange): void {
    const { request, response, measures } = x;
    this.#records.push([
      request.startedAt,
      request.clientIp,
      request.method,
      request.path,
      response.status,
      measures.requestBytes,
      measures.responseBytes,
      measures.totalMs,
      measures.upstreamMs,
      request.id,
      x.workspace,
      x.route === null ? null : (x.route.name ?? x.route.id),
      x.service === null ? null : (x.service.name ?? x.service.id),
      x.consumer === null ? null : (x.consumer.username ?? x.consumer.id),
      response.source,
    ]);
    if (this.#records.length >= BATCH) this.flush();
    else this.#timer ??= setTimeout(() => this.flush(), DELAY_MS);
  }

  flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#records.length === 0) return;
    this.#post(this.#records);
    this.#records = [];
  }
}
