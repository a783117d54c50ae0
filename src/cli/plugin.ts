/** `gatehouse plugin ...`: what an author does with a plugin. */
import { writeFile } from "node:fs/promises";
import type { Command } from "commander";
import { type AdminOptions, addAdminOptions } from "./admin-api.ts";
import { buildOnce } from "./build-plugin.ts";
import { PackError, packDirectory } from "./pack.ts";
import { registerDevCommands } from "./plugin-dev.ts";
import { registerNewCommand } from "./plugin-new.ts";
import { registerRecordingsCommand } from "./plugin-recordings.ts";
import { registerRegistryCommands } from "./plugin-registry.ts";
import { registerReplayCommand } from "./plugin-replay.ts";
import { EXIT_HELP, type Result, report } from "./plugin-report.ts";
import { registerRolloutCommands } from "./plugin-rollout.ts";
import { registerTailCommand } from "./plugin-tail.ts";
import { registerTestCommand } from "./plugin-test.ts";
import { registerUsageCommand } from "./plugin-usage.ts";
import { withProgress } from "./progress.ts";
import { publishFile } from "./publish.ts";

interface PublishOptions extends AdminOptions {
  readonly workspace: string;
  readonly sign?: string;
  readonly keyName?: string;
  readonly json?: boolean;
}

/** Adds the commands about plugins to a program. */
export function registerPluginCommands(program: Command): void {
  const plugin = program.command("plugin").description("make and publish plugin packages");
  plugin
    .command("pack")
    .description("make a package of a directory with a plugin.yaml")
    .argument("<dir>", "directory of the plugin")
    .option("-o, --output <file>", "file to write; default: <name>-<version>.tgz here")
    .option("--build", "build the entry from its sources although it is there")
    .option("--json", "print the result as JSON")
    .addHelpText("after", EXIT_HELP)
    .action((dir: string, options: { output?: string; build?: boolean; json?: boolean }) =>
      report(options.json, () => pack(dir, options)),
    );
  addAdminOptions(
    plugin
      .command("publish")
      .description("upload a package to a running gateway")
      .argument("<file>", "package made by 'plugin pack'"),
  )
    .option("--workspace <name>", "workspace that the plugin is for", "default")
    .option("--sign <keyfile>", "sign it with an author's key made by 'plugin keygen'")
    .option("--key-name <name>", "what the key is called in the workspace; default: the file's name")
    .option("--json", "print the result as JSON")
    .addHelpText("after", EXIT_HELP)
    .action((file: string, options: PublishOptions) => report(options.json, () => publish(file, options)));
  registerRecordingsCommand(plugin);
  registerReplayCommand(plugin);
  registerRegistryCommands(plugin);
  registerNewCommand(plugin);
  registerDevCommands(program, plugin);
  registerTestCommand(plugin);
  registerRolloutCommands(plugin);
  registerTailCommand(plugin);
  registerUsageCommand(plugin);
}

async function pack(dir: string, options: { output?: string; build?: boolean }): Promise<Result> {
  const { bytes, id, manifest, built } = await (options.build ? buildOnce(dir) : packDirectory(dir));
  const { name, version, runtime } = manifest;
  const file = options.output ?? `${name}-${version}.tgz`;
  try {
    await writeFile(file, bytes);
  } catch (error) {
    throw new PackError([`${file} cannot be written (${(error as NodeJS.ErrnoException).code})`]);
  }
  const how = built ? `, ${manifest.entry} bundled from plugin.ts` : "";
  return {
    lines: [`packed ${name}@${version} (${runtime}${how}): ${file}, ${bytes.length} bytes`, id],
    json: { id, name, version, runtime, file, bytes: bytes.length, built },
  };
}

async function publish(file: string, options: PublishOptions): Promise<Result> {
  const { sign, keyName = null } = options;
  const key = sign === undefined ? null : { file: sign, name: keyName };
  const published = await withProgress(`publishing ${file}`, () =>
    publishFile(file, options, options.workspace, key),
  );
  const { id, name, version, workspace, created, signed_by } = published;
  const outcome = created ? "published" : "was there already:";
  return {
    lines: [
      `${outcome} ${name}@${version}, workspace ${workspace}${signed_by === undefined ? "" : `, signed by ${signed_by}`}`,
      id,
      `use it: plugins: [{ name: ${name}@${version} }]`,
    ],
    json: published,
  };
}
