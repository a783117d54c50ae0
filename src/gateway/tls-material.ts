/**
 * What the main thread keeps for the listeners' TLS: the certificate of the settings, read again whenever the
 * configuration is loaded, and the keys of session tickets, which all data threads share. What the settings name for
 * TLS with upstreams is read here too.
 */
import { constants, randomBytes, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import type { ServerOptions as TlsOptions } from "node:https";
import { join } from "node:path";
import { createSecureContext, getCACertificates } from "node:tls";
import { certificatesIn, checkCertificate, checkKey, checkPair } from "../entities/certificates.ts";
import { CIPHER_SUITES } from "../settings/tls.ts";
import type { Settings } from "../settings.ts";
import { type KeyPair, type ListenerTls, serverContext, TICKET_KEY_BYTES } from "../tls/contexts.ts";
import type { Ending } from "../tls/expiry.ts";
import { selfSigned } from "../tls/self-signed.ts";
import type { ThreadTls } from "../tls/terminator.ts";

/** A certificate of the settings cannot be used; the message names setting, file and reason. */
export class MaterialError extends Error {
  override name = "MaterialError";
}

export class TlsMaterial {
  readonly #settings: Settings;
  readonly #options: ListenerTls;
  #fallback: readonly KeyPair[] = [];
  #ticketKeys: Uint8Array = randomBytes(TICKET_KEY_BYTES);

  private constructor(settings: Settings) {
    this.#settings = settings;
    this.#options = listenerTls(settings);
  }

  /** @throws {MaterialError} */
  static async open(settings: Settings): Promise<TlsMaterial> {
    const material = new TlsMaterial(settings);
    await material.read();
    return material;
  }

  get current(): ThreadTls {
    return { options: this.#options, fallback: this.#fallback, ticketKeys: this.#ticketKeys };
  }

  /** The certificates of the setting, by whose end somebody must have replaced them. */
  get endings(): Ending[] {
    return this.#fallback.map(({ cert }) => ({ id: "ssl_cert", cert, cert_alt: null }));
  }

  /**
   * Reads the certificates of the settings again; returns whether they are others than before.
   * @throws {MaterialError} and keeps those that it has
   */
  async read(): Promise<boolean> {
    const pairs = await fallbackPairs(this.#settings);
    // Asked for before every write: only what is new is shown to OpenSSL. At first there are none.
    if (JSON.stringify(pairs) === JSON.stringify(this.#fallback)) return false;
    try {
      serverContext(pairs, this.#options, { id: "", ticketKeys: this.#ticketKeys });
    } catch (error) {
      const { reason, message } = error as Error & { reason?: string };
      throw new MaterialError(`ssl_cert, ssl_ciphers: OpenSSL refuses them: ${reason ?? message}`);
    }
    this.#fallback = pairs;
    return true;
  }

  /** Makes other keys for tickets: those made so far are good for nothing from then on. */
  rotate(): void {
    this.#ticketKeys = randomBytes(TICKET_KEY_BYTES);
  }
}

function listenerTls(settings: Settings): ListenerTls {
  const { sslCipherSuite: suite, sslCiphers: ciphers, sslProtocols: protocols } = settings;
  return {
    ...(suite === "modern" ? { minVersion: "TLSv1.3", maxVersion: "TLSv1.3" } : protocols),
    ciphers: suite === "custom" ? ciphers : CIPHER_SUITES[suite as keyof typeof CIPHER_SUITES],
    preferServerCiphers: settings.sslPreferServerCiphers,
    sessionTickets: settings.sslSessionTickets,
    sessionTimeoutSeconds: settings.sslSessionTimeout,
  };
}

const files = ({ length }: readonly string[]): string => `${length} ${length === 1 ? "file" : "files"}`;

async function fallbackPairs({ sslCert, sslCertKey, prefix }: Settings): Promise<KeyPair[]> {
  if (sslCert.length !== sslCertKey.length)
    throw new MaterialError(
      `ssl_cert names ${files(sslCert)} and ssl_cert_key ${files(sslCertKey)}; write a key for each certificate`,
    );
  if (sslCert.length === 0) return [await ownPair(join(prefix, "ssl"))];
  return Promise.all(
    sslCert.map((cert, i) => readPair(["ssl_cert", cert], ["ssl_cert_key", sslCertKey[i] as string])),
  );
}

/** What is shown to upstreams by default; null for nothing. @throws {MaterialError} */
export async function clientPair({
  clientSsl,
  clientSslCert,
  clientSslCertKey,
}: Settings): Promise<KeyPair | null> {
  if (!clientSsl) return null;
  if (clientSslCert === null || clientSslCertKey === null)
    throw new MaterialError("client_ssl is on: set client_ssl_cert and client_ssl_cert_key, or turn it off");
  return readPair(["client_ssl_cert", clientSslCert], ["client_ssl_cert_key", clientSslCertKey]);
}

/**
 * PEM of the authorities that upstreams are verified against; null when the runtime's own suffice.
 * @throws {MaterialError}
 */
export async function upstreamAuthorities({ luaSslTrustedCertificate }: Settings): Promise<string[] | null> {
  if (luaSslTrustedCertificate.length === 1 && luaSslTrustedCertificate[0] === "system") return null;
  const lists = await Promise.all(
    luaSslTrustedCertificate.map(async (entry) =>
      entry === "system"
        ? getCACertificates("system")
        : [await readPem(["lua_ssl_trusted_certificate", entry])],
    ),
  );
  return lists.flat();
}

/**
 * How the Admin API speaks TLS; null if it does not. Sessions are not resumed: each connection shows its certificate.
 * @throws {MaterialError}
 */
export async function adminTls(settings: Settings): Promise<TlsOptions | null> {
  const { adminListen, adminSslCert: cert, adminSslCertKey: key, adminClientCa: clientCa, prefix } = settings;
  if (!adminListen.some(({ ssl }) => ssl)) return null;
  const pair =
    cert === null || key === null
      ? await ownPair(join(prefix, "ssl"))
      : await readPair(["admin_ssl_cert", cert], ["admin_ssl_cert_key", key]);
  const { minVersion, maxVersion, ciphers, preferServerCiphers } = listenerTls(settings);
  const tls: TlsOptions = {
    ...pair,
    minVersion,
    maxVersion,
    ciphers,
    honorCipherOrder: preferServerCiphers,
    secureOptions: constants.SSL_OP_NO_TICKET,
    ...(clientCa === null
      ? {}
      : {
          ca: await authorities(["admin_client_ca", clientCa]),
          requestCert: true,
          rejectUnauthorized: true,
        }),
  };
  try {
    createSecureContext(tls);
  } catch (error) {
    const { reason, message } = error as Error & { reason?: string };
    throw new MaterialError(`admin_ssl_cert, ssl_ciphers: OpenSSL refuses them: ${reason ?? message}`);
  }
  return tls;
}

/** Without a single certificate in it OpenSSL would take its own authorities, which vouch for anybody. */
async function authorities(file: NamedFile): Promise<string> {
  const pem = await readPem(file);
  const problem = checkCertificate(pem);
  if (problem !== undefined) throw new MaterialError(`${file[0]}: ${file[1]}: ${problem}`);
  return pem;
}

type NamedFile = readonly [setting: string, path: string];

/** @throws {MaterialError} */
export async function readPair(certFile: NamedFile, keyFile: NamedFile): Promise<KeyPair> {
  const [cert, key] = await Promise.all([readPem(certFile), readPem(keyFile)]);
  const wrong: (readonly [NamedFile, string | undefined])[] = [
    [certFile, checkCertificate(cert)],
    [keyFile, checkKey(key)],
  ];
  if (wrong.every(([, problem]) => problem === undefined)) wrong.push([keyFile, checkPair(cert, key)]);
  for (const [[setting, path], problem] of wrong)
    if (problem !== undefined) throw new MaterialError(`${setting}: ${path}: ${problem}`);
  return { cert, key };
}

async function readPem([setting, path]: NamedFile): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new MaterialError(`${setting}: ${path} cannot be read (${(error as NodeJS.ErrnoException).code})`);
  }
}

/** The self-signed certificate of this gateway, made when it is not there or has come to its end. */
async function ownPair(directory: string): Promise<KeyPair> {
  const certFile = join(directory, "gatehouse-default.crt");
  const keyFile = join(directory, "gatehouse-default.key");
  try {
    const pair = await readPair(["ssl_cert", certFile], ["ssl_cert_key", keyFile]);
    if (Date.parse(certificatesIn(pair.cert)[0]?.validTo ?? "") > Date.now()) return pair;
  } catch {
    // Not there, or not to be used: another one is made.
  }
  const pair = selfSigned("localhost");
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await replaceFile(keyFile, pair.key, 0o600);
  await replaceFile(certFile, pair.cert, 0o644);
  return pair;
}

/** Puts a new file in the place of one that may be there: nobody who has that one open, or linked, sees the content. */
async function replaceFile(path: string, content: string, mode: number): Promise<void> {
  const fresh = `${path}.${randomUUID()}`;
  await writeFile(fresh, content, { mode, flag: "wx" });
  await rename(fresh, path);
}
