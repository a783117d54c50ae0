/** A declarative configuration as commands read it without a gateway: its text, and what its plugins may be. */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { any } from "@gatehouse/sdk";
import type { Command } from "commander";
import type { PluginCatalogue, RouterFlavor } from "../entities/entities.ts";
import type { Packages } from "../registry/resolver.ts";

/** Something on the command line, or the file that it names, cannot be used. */
export class Unusable extends Error {
  override name = "Unusable";
}

/** How a file is read without a gateway. */
export interface ReadingOptions {
  readonly prefix?: string;
  readonly routerFlavor?: string;
}

/** Adds `--prefix` and `--router-flavor` to a command. */
export function addReadingOptions(command: Command): Command {
  return command
    .option(
      "--prefix <dir>",
      "prefix of a gateway, to look up uploaded plugins in; without it any may be there",
    )
    .option("--router-flavor <flavor>", "the setting router_flavor");
}

/** `-` is standard input. @throws {Unusable} */
export async function readBytes(file: string): Promise<Uint8Array> {
  if (file !== "-")
    return readFile(file).catch((error: NodeJS.ErrnoException) => {
      throw new Unusable(`${file} cannot be read (${error.code})`);
    });
  const chunks: Uint8Array[] = [];
  for await (const chunk of process.stdin) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks);
}

/** The uploaded plugins of a gateway's prefix; none without one. @throws {Unusable} */
export async function packagesOf(prefix: string | undefined): Promise<Packages> {
  if (prefix === undefined) return { find: () => ({ missing: "" }), names: () => [] };
  const there = await stat(prefix).catch(() => null);
  if (!there?.isDirectory())
    throw new Unusable(`--prefix: ${prefix} is no directory; name the prefix of a gateway`);
  const { Registry } = await import("../registry/registry.ts");
  const { viewRegistryStore } = await import("../stores/open-store.ts");
  return Registry.view(join(prefix, "artifacts"), await viewRegistryStore({ prefix }));
}

/** The plugins that a file may name. Without a prefix to look in, any package may be there. @throws {Unusable} */
export async function catalogueOf(prefix: string | undefined, packages?: Packages): Promise<PluginCatalogue> {
  const { createCatalogue } = await import("../gateway/catalogue.ts");
  const known = createCatalogue(packages ?? (await packagesOf(prefix)));
  if (prefix !== undefined) return known;
  return {
    ...known,
    find(name, workspace) {
      if (!name.includes("@")) return known.find(name, workspace);
      return { name, version: name.split("@")[1] ?? "", priority: 0, schema: any() };
    },
  };
}

/** @throws {Unusable} there is no such flavor. */
export async function flavorOf(flag: string | undefined): Promise<RouterFlavor> {
  const { loadSettings } = await import("../settings.ts");
  const name = "GATEHOUSE_ROUTER_FLAVOR";
  const { settings, errors } = loadSettings({
    flags: { router_flavor: flag },
    env: { [name]: process.env[name] },
  });
  if (errors !== undefined) throw new Unusable(errors.join("\n"));
  return settings.routerFlavor;
}
