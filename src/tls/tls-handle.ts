/**
 * The runtime's TLS handle without `tls.TLSSocket` around it: the same calls as a TCP handle (http1/tcp-handle.ts),
 * with OpenSSL between. It wraps the TCP handle of a connection that is there already.
 *
 * As with TCP handles, the project carries the very version of Node that this is written for, and a runtime with
 * other handles is refused when it starts.
 */
import type { SecureContext } from "node:tls";
import type { StreamHandle, TcpHandle } from "../http1/tcp-handle.ts";

/** What OpenSSL says of a connection that it gives up. */
export interface TlsFailure {
  readonly message: string;
  /** OpenSSL's words for the reason, such as `wrong version number`. */
  readonly reason?: string;
}

export interface TlsHandle extends StreamHandle {
  onhandshakedone: (this: TlsHandle) => void;
  onerror: (this: TlsHandle, error: TlsFailure) => void;
  /** Protocols that may be agreed on, each after its length. */
  setALPNProtocols(protocols: Uint8Array): void;
  /** Bytes that were read from the connection before the handle was there. */
  receive(bytes: Uint8Array): void;
  /** Name that the client asked for; false without one. */
  getServername(): string | false;
  isSessionReused(): boolean;
  /** `TLSv1.3` and the like. */
  getProtocol(): string;
  /** Frees OpenSSL's part; never to be called while OpenSSL calls. */
  destroySSL(): void;
}

interface TlsBinding {
  wrap(handle: TcpHandle, context: object, isServer: boolean, hasActiveWrite: boolean): TlsHandle;
}

const binding = (process as unknown as { binding(name: string): unknown }).binding;
const tls = binding("tls_wrap") as TlsBinding;
if (typeof tls?.wrap !== "function")
  throw new Error(
    `Node ${process.version} has no TLS handles of the kind that the gateway uses; ` +
      "start it with the Node that it carries (npm start, or node_modules/.bin/node)",
  );

/** The handle of the server's side of a connection. Nothing is read before `receive` or `readStart`. */
export function serverHandle(handle: TcpHandle, { context }: SecureContext): TlsHandle {
  return tls.wrap(handle, context as object, true, false);
}
