/** Certificates for a test, made by the openssl program: an authority, and what it vouches for. */
import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { requireProgram } from "./services.ts";

export interface KeyPair {
  readonly key: string;
  readonly cert: string;
}

export class Authority implements AsyncDisposable {
  readonly directory: string;
  /** Path of the authority's own certificate. */
  readonly file: string;

  private constructor(directory: string) {
    this.directory = directory;
    this.file = join(directory, "ca.crt");
  }

  static async create(): Promise<Authority> {
    const authority = new Authority(await mkdtemp(join(tmpdir(), "gatehouse-ca-")));
    authority.#openssl(
      "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority -keyout ca.key -out ca.crt",
    );
    return authority;
  }

  /** A certificate for names and addresses, such as `DNS:localhost` and `IP:127.0.0.1`. */
  async issue(name: string, subjects: readonly string[]): Promise<KeyPair> {
    await writeFile(join(this.directory, `${name}.ext`), `subjectAltName=${subjects.join(",")}\n`);
    this.#openssl(
      `req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=${name} -keyout ${name}.key -out ${name}.csr`,
    );
    this.#openssl(
      `x509 -req -in ${name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ${name}.ext -out ${name}.crt`,
    );
    const read = (file: string) => readFile(join(this.directory, file), "utf8");
    return { key: await read(`${name}.key`), cert: await read(`${name}.crt`) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true });
  }

  #openssl(command: string): void {
    execFileSync(requireProgram("openssl"), command.split(" "), {
      cwd: this.directory,
      stdio: ["ignore", "ignore", "pipe"],
    });
  }
}
