/**
 * Why a host call could not be done, in words that the guest may read: they say nothing of the gateway, its
 * network or other plugins that the guest could not know. Every other error reaches it without its message.
 */
export class HostCallError extends Error {
  override readonly name = "HostCallError";
  /** What the gateway had read from elsewhere for it by then: the workspace pays for that too. */
  readonly bytesRead: number;

  constructor(message: string, bytesRead = 0) {
    super(message);
    this.bytesRead = bytesRead;
  }
}
