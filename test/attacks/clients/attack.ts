/**
 * What every attack of a client is held against: the status it gets, what the upstream saw of it, and what the next
 * client gets on the same upstream connections.
 *
 * The classes are those of RFC 9112 section 11.2 and of J. Kettle, "HTTP Desync Attacks" (2019), "HTTP/2: The Sequel"
 * and "Browser-Powered Desync Attacks" (2022), and "HTTP/1.1 must die" (2025).
 */
import assert from "node:assert/strict";
import { after, before } from "node:test";
import { type Answer, Between, fieldValue, request } from "../../support/between.ts";
import { openRaw, type RawResponse } from "../../support/raw-client.ts";

/** What an attacker wants the upstream to take for a request of its own. */
export const SMUGGLED = "GET /smuggled HTTP/1.1\r\nHost: client.test\r\nX-Smuggled: 1\r\n\r\n";

/** The upstream says which request it answers, so that a client sees whether it got another's answer. */
const ECHO: Answer = (socket, { method, target }) => {
  const length = target.length;
  socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n${method === "HEAD" ? "" : target}`);
};

export class Attack {
  #between: Between | undefined;

  /** Starts gateway and upstream before the tests of a file, ends them after. */
  constructor(settings: Record<string, string> = {}) {
    before(async () => {
      this.#between = await Between.start(settings);
    });
    after(() => this.#between?.[Symbol.asyncDispose]());
  }

  get between(): Between {
    assert.ok(this.#between !== undefined);
    return this.#between;
  }

  /** Gives the gateway a kept upstream connection, which an attack could poison. */
  async begin(): Promise<void> {
    const { between } = this;
    between.answer = ECHO;
    assert.equal(await this.victim("/before"), "/before");
    between.seen.length = 0;
  }

  /** Another client's request: the body of its answer, which is its own path unless something is wrong. */
  async victim(path = "/victim"): Promise<string> {
    await using client = await openRaw(this.between.port);
    client.write(request("GET", path));
    const { status, body } = await client.read();
    return status === 200 ? body.toString() : `${status} ${body}`;
  }

  /**
   * Sends the bytes of an attack. They get one answer with `status`, their connection ends, the upstream hears of none
   * of it, and the next clients get their own answers.
   */
  async bounces(bytes: string | Uint8Array, status: number): Promise<void> {
    await this.begin();
    const { between } = this;
    const pid = between.gateway.pid;
    await using client = await openRaw(between.port);
    client.write(bytes);
    const response = await client.read();
    assert.equal(response.status, status, response.body.toString());
    assert.equal(fieldValue(response.headers, "connection"), "close");
    await client.closed();
    assert.equal(
      client.pending.length,
      0,
      `a second answer: ${client.pending.toString("latin1").slice(0, 100)}`,
    );
    assert.deepEqual(
      between.seen.filter(({ whole }) => whole),
      [],
      "the upstream saw a request",
    );
    await this.othersAreServed();
    assert.equal(between.gateway.pid, pid);
  }

  /**
   * Sends bytes that are sound but look like an attack. Returns the answers, and asserts that the upstream saw exactly
   * these requests.
   */
  async passes(
    bytes: string,
    seen: readonly (readonly [target: string, body: string])[],
    count = seen.length,
  ): Promise<RawResponse[]> {
    await this.begin();
    const { between } = this;
    await using client = await openRaw(between.port);
    client.write(bytes);
    const responses: RawResponse[] = [];
    for (let i = 0; i < count; i++) responses.push(await client.read());
    assert.deepEqual(
      between.seen.map(({ target, body }) => [target, body]),
      seen,
    );
    await this.othersAreServed();
    return responses;
  }

  /** What the next requests see: their own answers, nothing smuggled before, between or after them. */
  async othersAreServed(): Promise<void> {
    const { between } = this;
    between.seen.length = 0;
    const paths = ["/victim/1", "/victim/2", "/victim/3"];
    for (const path of paths) assert.equal(await this.victim(path), path);
    assert.deepEqual(
      between.seen.map(({ target }) => target),
      paths,
    );
    assert.ok(between.seen.every(({ fields }) => fieldValue(fields, "x-smuggled") === undefined));
  }
}
