/**
 * The runtime's TCP handles without `net.Socket` around them. A socket is a duplex stream with two queues, ticks
 * and events for what is one call into the system here; on small messages that machinery was a third of the CPU
 * time outside the kernel (bench/bench.ts `plain`).
 *
 * The handles are not a public interface of Node: the project carries the very version that it was written
 * for, and a runtime with other handles is refused when it starts.
 */
import { getSystemErrorName } from "node:util";

/** A write that the system has not taken whole. */
export interface WriteRequest {
  oncomplete: (this: WriteRequest, status: number) => void;
  /** Set if the write ended before `oncomplete` was there. */
  writeStatus: number | null;
}

/** What can be read and written: a connection, or TLS above one. */
export interface StreamHandle {
  onread: (this: StreamHandle) => void;
  readonly writeQueueSize: number;
  /** Bytes given to the handle, those that wait included. */
  readonly bytesWritten: number;
  readStart(): number;
  readStop(): number;
  useUserBuffer(buffer: Uint8Array): void;
  /** An error number, 0 for done, or the request of a write that goes on. */
  writeLatin1String(request: null, text: string): number | WriteRequest;
  writeBuffer(request: null, bytes: Uint8Array): number | WriteRequest;
  /** Pairs of data and encoding; bytes have the encoding "buffer". */
  writev(request: null, parts: readonly unknown[], allBuffers: boolean): number | WriteRequest;
  shutdown(request: object): number;
}

export interface TcpHandle extends StreamHandle {
  connect(request: object, address: string, port: number): number;
  connect6(request: object, address: string, port: number): number;
  setNoDelay(on: boolean): number;
  getpeername(out: { address?: string; port?: number }): number;
  getsockname(out: { address?: string; port?: number }): number;
  reset(done: () => void): number;
  close(done: () => void): void;
}

/** Address of the own end; "" if the connection is gone. */
export function localAddressOf(handle: TcpHandle): string {
  const own: { address?: string } = {};
  const address = handle.getsockname(own) === 0 ? (own.address ?? "") : "";
  return address.startsWith("::ffff:") ? address.substring(7) : address;
}

interface StreamBinding {
  readonly ShutdownWrap: new () => object;
  /** Numbers that the last call left behind, by the indexes that follow. */
  readonly streamBaseState: Int32Array;
  readonly kReadBytesOrError: number;
  readonly kLastWriteErr: number;
}

interface TcpBinding {
  readonly TCP: new (type: number) => TcpHandle;
  readonly TCPConnectWrap: new () => object;
  readonly constants: { readonly SOCKET: number };
}

const binding = (process as unknown as { binding(name: string): unknown }).binding;
const stream = binding("stream_wrap") as StreamBinding;
const tcp = binding("tcp_wrap") as TcpBinding;

const KNOWN =
  typeof stream?.ShutdownWrap === "function" &&
  typeof stream.kReadBytesOrError === "number" &&
  typeof stream.kLastWriteErr === "number" &&
  stream.streamBaseState?.length > 0 &&
  typeof tcp?.TCP === "function" &&
  typeof tcp.TCPConnectWrap === "function";
if (!KNOWN)
  throw new Error(
    `Node ${process.version} has no TCP handles of the kind that the gateway uses; ` +
      "start it with the Node that it carries (npm start, or node_modules/.bin/node)",
  );

const state = stream.streamBaseState;
const READ_RESULT = stream.kReadBytesOrError;
const WRITE_ERROR = stream.kLastWriteErr;

/** Number of bytes that were read, or the error; to be asked first thing in `onread`. */
export const readResult = (): number => state[READ_RESULT] as number;

/** Error of the write that just returned a request; 0 for none. */
export const writeError = (): number => state[WRITE_ERROR] as number;

export const END_OF_STREAM = -4095;

export const newHandle = (): TcpHandle => new tcp.TCP(tcp.constants.SOCKET);

/** Starts to connect; `done` gets 0 or an error number. Returns an error number where that is known at once. */
export function connectHandle(
  handle: TcpHandle,
  address: string,
  port: number,
  done: (status: number) => void,
): number {
  const request = new tcp.TCPConnectWrap() as { oncomplete?: (status: number) => void };
  request.oncomplete = done;
  return address.includes(":")
    ? handle.connect6(request, address, port)
    : handle.connect(request, address, port);
}

/** Ends the sending side once everything written is out. Returns an error number; 1 if it is done already. */
export function shutdownHandle(handle: StreamHandle, done: () => void): number {
  const request = new stream.ShutdownWrap() as { oncomplete?: () => void };
  request.oncomplete = done;
  return handle.shutdown(request);
}

/** `ECONNRESET` and the like. */
export const errorName = (status: number): string => getSystemErrorName(status);
