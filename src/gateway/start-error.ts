/** Why a gateway cannot start, said to the operator. */
import { MaterialError } from "./tls-material.ts";

/** A gateway cannot start or go on; the message is for the operator and complete. */
export class StartError extends Error {
  override name = "StartError";
}

/** What is wrong with certificates and keys of the settings is for the operator. */
export async function startable<T>(material: Promise<T>): Promise<T> {
  try {
    return await material;
  } catch (error) {
    throw error instanceof MaterialError ? new StartError(error.message) : error;
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
