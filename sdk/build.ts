/**
 * Makes the npm package of the SDK, for `npm pack sdk/build` and `npm publish sdk/build`:
 *
 *     npm run sdk:build      writes sdk/build
 *
 * In this repository the sources are imported as they are. Node strips no types below node_modules, so what is published is
 * JavaScript with declarations beside it.
 */
import { execFile } from "node:child_process";
import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";

const HERE = import.meta.dirname;
/** What goes along beside the compiled sources. */
const FILES = ["README.md", "plugin.schema.json", "assemblyscript", "go", "rust"];

interface Package {
  readonly exports: Readonly<Record<string, string>>;
  readonly [key: string]: unknown;
}

/** Builds the package into the folder `target`. @throws {Error} with the compiler's words. */
export async function buildSdk(target = join(HERE, "build")): Promise<void> {
  await rm(target, { recursive: true, force: true });
  const typescript = createRequire(import.meta.url).resolve("typescript/package.json");
  const compiler = join(dirname(typescript), "bin", "tsc");
  const args = [compiler, "-p", join(HERE, "tsconfig.json"), "--outDir", join(target, "dist")];
  await promisify(execFile)(process.execPath, args).catch((error: { stdout?: string }) => {
    throw new Error(`the SDK does not compile:\n${error.stdout}`, { cause: error });
  });
  for (const name of FILES) await cp(join(HERE, name), join(target, name), { recursive: true });
  const own = JSON.parse(await readFile(join(HERE, "package.json"), "utf8")) as Package;
  await writeFile(join(target, "package.json"), `${JSON.stringify(published(own), null, 2)}\n`);
}

/** The package as others have it: every export of a source is one of what was compiled from it. */
function published({ private: _, exports, ...rest }: Package): object {
  const compiled = Object.entries(exports).flatMap(([name, file]) => {
    const [, path] = /^\.\/src\/(.+)\.ts$/.exec(file) ?? [];
    return path === undefined
      ? []
      : [[name, { types: `./dist/${path}.d.ts`, default: `./dist/${path}.js` }] as const];
  });
  return {
    ...rest,
    exports: {
      ...Object.fromEntries(compiled),
      "./plugin.schema.json": "./plugin.schema.json",
      "./package.json": "./package.json",
    },
    files: ["dist", ...FILES],
  };
}

if (import.meta.main) await buildSdk();
