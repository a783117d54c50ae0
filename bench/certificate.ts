/** The certificate of a sitting: every variant that terminates TLS uses the same key and certificate. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface Certificate {
  certificate: string;
  key: string;
  /** Both in one file, as HAProxy wants them. */
  both: string;
}

/** What every variant has to negotiate, or it would do less work, or more, than the others. */
export const NEGOTIATED = "TLSv1.3 TLS_AES_256_GCM_SHA384 X25519 prime256v1";

/** Paths of a self-signed P-256 certificate for 127.0.0.1 and localhost, made on first use. */
export function certificateIn(folder: string): Certificate {
  const paths = {
    certificate: join(folder, "certificate.pem"),
    key: join(folder, "key.pem"),
    both: join(folder, "both.pem"),
  };
  if (!existsSync(paths.both)) {
    const options = [
      ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"],
      ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
      ...["-keyout", paths.key, "-out", paths.certificate],
    ];
    execFileSync("openssl", ["req", "-x509", ...options], { stdio: "pipe" });
    writeFileSync(paths.both, readFileSync(paths.certificate, "utf8") + readFileSync(paths.key, "utf8"));
  }
  return paths;
}
