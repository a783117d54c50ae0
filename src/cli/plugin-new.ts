/** `gatehouse plugin new`: a directory with a plugin that builds, has a test, and can be changed. */
import { cp, mkdir, readdir, readFile, rename, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { Argument, type Command, Option } from "commander";
import { absentCompiler, type Language } from "../../wasm-plugins/compilers.ts";
import { PackError } from "./pack.ts";
import { type Result, report } from "./plugin-report.ts";

const TEMPLATES = fileURLToPath(new URL("./templates/", import.meta.url));
/** The name in templates, and the same as a part of identifiers. */
const PLACEHOLDER = /my-plugin/g;
const NAME = /^[a-z][a-z0-9-]{0,63}$/;

const LANGUAGES: Readonly<Record<string, { readonly language: Language; readonly shown: string }>> = {
  ts: { language: "TypeScript", shown: "TypeScript" },
  as: { language: "AssemblyScript", shown: "AssemblyScript" },
  go: { language: "Go", shown: "Go" },
  rust: { language: "Rust", shown: "Rust" },
};

interface NewOptions {
  readonly lang: string;
  readonly dir?: string;
  readonly json?: boolean;
}

export function registerNewCommand(plugin: Command): void {
  plugin
    .command("new")
    .description("make a directory with a plugin that builds, has a test, and can be changed")
    .addArgument(new Argument("<name>", "lower-case letters, digits and '-', beginning with a letter"))
    .addOption(
      new Option("--lang <language>", "TypeScript, AssemblyScript, Go or Rust")
        .choices(Object.keys(LANGUAGES))
        .default("ts"),
    )
    .option("--dir <dir>", "directory to make (default: the name, here)")
    .option("--json", "print the result as JSON")
    .addHelpText("after", "\nExit codes: 0 done; 1 refused, with every reason.")
    .action((name: string, options: NewOptions) => report(options.json, () => makePlugin(name, options)));
}

async function makePlugin(name: string, { lang, dir: given }: NewOptions): Promise<Result> {
  if (!NAME.test(name))
    throw new PackError([
      `'${name}' is no name of a plugin: at most 64 lower-case letters, digits and '-', a letter first`,
    ]);
  const { language, shown } = LANGUAGES[lang] as { language: Language; shown: string };
  const dir = resolve(given ?? name);
  const place = relative(process.cwd(), dir) || ".";
  await makeEmpty(dir, place);
  // What all plugins have in common, then those in WebAssembly, then what the language has.
  const templates = language === "TypeScript" ? ["all", lang] : ["all", "wasm", lang];
  for (const template of templates) await cp(join(TEMPLATES, template), dir, { recursive: true });
  for (const file of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const path = join(file.parentPath, file.name);
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replace(PLACEHOLDER, name));
  }
  // A file that git obeys would be missed by whatever packs the templates.
  await rename(join(dir, "gitignore"), join(dir, ".gitignore"));
  await linkSdk(dir);
  const absent = await absentCompiler(language);
  const lines = [
    `made ${place}: ${name}, in ${shown}`,
    "",
    `    cd ${place}`,
    "    gatehouse plugin dev     # a gateway with it, an echo upstream, a reload on each save",
    "    gatehouse plugin test    # its tests",
    ...(absent === null ? [] : ["", `It cannot be built on this machine yet: ${absent}.`]),
  ];
  return { lines, json: { name, language: lang, directory: dir, missing: absent } };
}

async function makeEmpty(dir: string, place: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true });
    if ((await readdir(dir)).length === 0) return;
  } catch (error) {
    throw new PackError([`${place} cannot be made (${(error as NodeJS.ErrnoException).code})`]);
  }
  throw new PackError([`${place} is there and not empty; name another by --dir, or another plugin`]);
}

/** Editors and compilers find the contract that this gateway keeps. */
async function linkSdk(dir: string): Promise<void> {
  const sdk = dirname(dirname(fileURLToPath(import.meta.resolve("@gatehouse/sdk"))));
  const link = join(dir, "node_modules", "@gatehouse", "sdk");
  await mkdir(dirname(link), { recursive: true });
  await symlink(sdk, link, "dir");
}
