/** Why a gateway cannot start, said to the operator. */
import { StoreUnavailable } from "../stores/store.ts";
import { MaterialError } from "./tls-material.ts";

/** A gateway cannot start or go on; the message is for the operator and complete. */
export class StartError extends Error {
  override name = "StartError";
}

/** What is wrong with certificates and keys of the settings, and with the store, is for the operator. */
export async function startable<T>(opened: Promise<T>): Promise<T> {
  try {
    return await opened;
  } catch (error) {
    const isTheirs = error instanceof MaterialError || error instanceof StoreUnavailable;
    throw isTheirs ? new StartError(error.message) : error;
  }
}

/** Says which setting asked for an address that cannot be had. */
export async function listening<T>(setting: string, opened: Promise<T>): Promise<T> {
  try {
    return await opened;
  } catch (error) {
    const reason = (error as Error).message.replace(/^listen /, "");
    throw new StartError(`${setting}: ${reason}; choose another address, or end what listens there`);
  }
}
