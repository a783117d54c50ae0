/** Plugin packages for tests of a whole gateway: the example guests, versions of them, and their upload. */
import { readFile } from "node:fs/promises";
import { basename } from "node:path";
import { parse, stringify } from "yaml";
import { pack } from "../../src/registry/archive.ts";
import { type BuiltGuest, buildGuests } from "../../wasm-plugins/build.ts";
import { type Answer, send } from "../support/client.ts";
import type { Gateway } from "../support/gateway.ts";

const built = new Map<string, Promise<BuiltGuest[]>>();

/** An example guest from wasm-plugins/, built when it is out of date. */
export async function exampleGuest(name: string): Promise<BuiltGuest> {
  const building = built.get(name) ?? buildGuests([name]);
  built.set(name, building);
  return (await building)[0] as BuiltGuest;
}

/** Changes to an example guest that make another version of it. */
export interface Changes {
  /** Keys of plugin.yaml that replace the guest's own. */
  readonly manifest?: Readonly<Record<string, unknown>>;
  /** Replaced in the artifact of an isolate guest: text by text. */
  readonly replace?: readonly [string, string];
}

/** Bytes of the package of an example guest. */
export async function packExample(
  name: string,
  { manifest = {}, replace }: Changes = {},
): Promise<Uint8Array> {
  const { folder, entry } = await exampleGuest(name);
  const own = parse(await readFile(`${folder}/plugin.yaml`, "utf8")) as Record<string, unknown>;
  let artifact: Uint8Array = await readFile(entry);
  if (replace !== undefined) {
    const source = Buffer.from(artifact).toString("utf8");
    if (!source.includes(replace[0])) throw new Error(`${name} does not contain '${replace[0]}'`);
    artifact = Buffer.from(source.replace(...replace));
  }
  return packFiles({ ...own, ...manifest }, basename(entry), artifact);
}

export function packFiles(manifest: object, entry: string, artifact: Uint8Array): Promise<Uint8Array> {
  return pack(
    new Map([
      ["plugin.yaml", Buffer.from(stringify(manifest))],
      [entry, artifact],
    ]),
  );
}

/** POST /plugin-packages. */
export function upload(gateway: Gateway, bytes: Uint8Array, workspace?: string): Promise<Answer> {
  const path = workspace === undefined ? "plugin-packages" : `${workspace}/plugin-packages`;
  return send(`${gateway.adminUrl}/${path}`, {
    method: "POST",
    headers: { "content-type": "application/gzip", ...gateway.adminHeaders },
    body: bytes,
  });
}

/** Uploads a package that must be taken. */
export async function publish(gateway: Gateway, bytes: Uint8Array, workspace?: string): Promise<void> {
  const { status, body } = await upload(gateway, bytes, workspace);
  if (status !== 201) throw new Error(`the upload was answered ${status} ${body}`);
}
