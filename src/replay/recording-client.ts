/**
 * A data thread's way to the file of recordings, over a port that is asked for when one is needed. What is on its way is
 * bounded, and shared out between workspaces; beyond that recordings are dropped, never requests held up.
 */
import type { MessagePort } from "node:worker_threads";
import type { Recording, RecordingSink } from "@gatehouse/sdk";
import type { CredentialNames } from "../sandbox/calls/credential-names.ts";
import { Shares } from "../tenancy/shares.ts";
import { MOST_ON_THE_WAY, MOST_ON_THE_WAY_OF_ONE, MOST_PER_SECOND } from "./limits.ts";
import type { NewRecording } from "./recordings-file.ts";
import type { RecordingRequest } from "./recordings-thread.ts";

export interface RecordingClientOptions {
  /** Has the main thread send a port, which is for `connect`. */
  readonly ask: () => void;
  /** Told of every recording that is dropped. */
  readonly onDropped: (workspace: string) => void;
}

export class RecordingClient {
  readonly #options: RecordingClientOptions;
  readonly #shares = new Shares(MOST_ON_THE_WAY, MOST_ON_THE_WAY_OF_ONE);
  readonly #sent = new Map<number, { readonly workspace: string; readonly bytes: number }>();
  #port: MessagePort | null = null;
  #asked = false;
  #unsent: RecordingRequest[] = [];
  #next = 0;

  constructor(options: RecordingClientOptions) {
    this.#options = options;
  }

  /** The port that was asked for; null if it cannot be had now. */
  connect(port: MessagePort | null): void {
    this.#asked = false;
    if (port === null) return this.#lose();
    this.#port = port;
    port.on("message", (id: number) => this.#kept(id));
    port.on("close", () => {
      if (this.#port === port) this.#lose();
    });
    for (const request of this.#unsent.splice(0)) port.postMessage(request);
  }

  /** Where one plugin entity of a workspace records. `ws_id` is the workspace's id. */
  sink(
    plugin: { readonly id: string; readonly ws_id: string },
    workspace: string,
    credentials: CredentialNames,
  ): RecordingSink {
    let second = 0;
    let count = 0;
    return {
      credentialNames: () => [...credentials.names()],
      mayRecord: () => {
        const now = Math.floor(performance.now() / 1000);
        if (now !== second) {
          second = now;
          count = 0;
        }
        return ++count <= MOST_PER_SECOND;
      },
      add: (recording, { most, ttlMs }) => {
        const kept = { workspace: plugin.ws_id, plugin: plugin.id, recording, most, ttlMs };
        this.#add(kept, workspace, weightOf(recording));
      },
    };
  }

  close(): void {
    this.#port?.close();
  }

  #add(kept: NewRecording, workspace: string, bytes: number): void {
    if (!this.#shares.take(kept.workspace, bytes)) return this.#options.onDropped(workspace);
    const id = this.#next++;
    this.#sent.set(id, { workspace: kept.workspace, bytes });
    if (this.#port !== null) return this.#port.postMessage({ id, kept } satisfies RecordingRequest);
    this.#unsent.push({ id, kept });
    if (this.#asked) return;
    this.#asked = true;
    this.#options.ask();
  }

  #kept(id: number): void {
    const sent = this.#sent.get(id);
    if (sent === undefined) return;
    this.#sent.delete(id);
    this.#shares.give(sent.workspace, sent.bytes);
  }

  /** What was sent is lost. The next recording asks for another port. */
  #lose(): void {
    this.#port = null;
    this.#unsent = [];
    for (const id of [...this.#sent.keys()]) this.#kept(id);
  }
}

/** About what a recording takes in memory. */
function weightOf({ request, response }: Recording): number {
  let bytes = 1000 + request.path.length + request.query.length;
  for (const message of [request, response]) {
    if (message === null) continue;
    for (const [name, value] of message.headers) bytes += name.length + value.length + 32;
    bytes += message.body?.bytes.length ?? 0;
  }
  return bytes;
}
