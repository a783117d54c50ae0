/**
 * Where cordons' sockets arrive on a data thread: an abstract Unix socket with an unguessable name. Any
 * process of the machine may connect to it, so a connection is believed only if it opens with a token that
 * the supervisor has announced; each token admits once. Strangers have little time and few places, and when
 * the places are taken the oldest stranger makes room: a cordon speaks at once, long before it could be that.
 */
import { randomBytes } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import { TOKEN_CHARACTERS } from "./messages.ts";

const MAX_STRANGERS = 64;
const STRANGER_MS = 5000;

/** Called with the cordon's number, its paused socket, and what came after the token. */
export type Admit = (cordon: number, socket: Socket, rest: Buffer) => void;

interface Stranger {
  readonly socket: Socket;
  readonly rest: Buffer;
  /** Stops counting it as a stranger. */
  readonly leave: () => void;
}

export class Lobby {
  readonly #admit: Admit;
  readonly #server: Server;
  readonly #expected = new Map<string, number>();
  /** Connections that said a token which nobody has announced yet: the announcement may be under way. */
  readonly #strangers = new Map<string, Stranger>();
  /** Connections that are not believed yet, oldest first, and how each stops being counted. */
  readonly #waiting = new Map<Socket, () => void>();

  constructor(admit: Admit) {
    this.#admit = admit;
    this.#server = createServer((socket) => this.#greet(socket));
  }

  /** Returns the socket's name, without the leading NUL. */
  async listen(): Promise<string> {
    const name = `gatehouse-${randomBytes(24).toString("hex")}`;
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ path: `\0${name}` }, resolve);
    });
    this.#server.unref();
    return name;
  }

  expect(cordon: number, token: string): void {
    this.#expected.set(token, cordon);
    this.#match(token);
  }

  /** The cordon is dead: its token admits nobody any more. */
  forget(cordon: number): void {
    for (const [token, expected] of this.#expected) if (expected === cordon) this.#expected.delete(token);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#waiting.keys()) socket.destroy();
  }

  #greet(socket: Socket): void {
    socket.on("error", () => {});
    if (this.#waiting.size >= MAX_STRANGERS) this.#showOut();
    const timer = setTimeout(() => socket.destroy(), STRANGER_MS).unref();
    const leave = () => {
      socket.off("close", leave);
      this.#waiting.delete(socket);
      clearTimeout(timer);
    };
    this.#waiting.set(socket, leave);
    socket.once("close", leave);
    let said = Buffer.alloc(0);
    const listen = (part: Buffer) => {
      said = Buffer.concat([said, part]);
      if (said.length < TOKEN_CHARACTERS) return;
      socket.off("data", listen);
      socket.pause();
      const token = said.toString("latin1", 0, TOKEN_CHARACTERS);
      if (this.#strangers.has(token)) {
        socket.destroy();
        return;
      }
      socket.once("close", () => {
        if (this.#strangers.get(token)?.socket === socket) this.#strangers.delete(token);
      });
      this.#strangers.set(token, { socket, rest: said.subarray(TOKEN_CHARACTERS), leave });
      this.#match(token);
    };
    socket.on("data", listen);
  }

  /** Ends the oldest stranger. */
  #showOut(): void {
    for (const [socket, leave] of this.#waiting) {
      leave();
      socket.destroy();
      return;
    }
  }

  #match(token: string): void {
    const cordon = this.#expected.get(token);
    const stranger = this.#strangers.get(token);
    if (cordon === undefined || stranger === undefined) return;
    this.#expected.delete(token);
    this.#strangers.delete(token);
    stranger.leave();
    this.#admit(cordon, stranger.socket, stranger.rest);
  }
}
