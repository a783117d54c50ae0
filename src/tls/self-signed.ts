/**
 * A self-signed certificate, for a gateway that was given none: X.509 (RFC 5280) in DER, of which one certificate
 * needs little enough to be written down here.
 */
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import type { KeyPair } from "./contexts.ts";

/** Object identifiers, encoded. */
const OID = {
  commonName: "0603550403",
  ecdsaWithSha256: "06082a8648ce3d040302",
  subjectAltName: "0603551d11",
  basicConstraints: "0603551d13",
} as const;
const TAG = {
  integer: 0x02,
  bits: 0x03,
  octets: 0x04,
  utf8: 0x0c,
  time: 0x17,
  sequence: 0x30,
  set: 0x31,
} as const;
const DNS_NAME = 0x82;
const VERSION_3 = "a003020102";
const YEAR_MS = 365 * 86_400_000;
/** A client that checks dates finds this one sound for as long as anybody trusts it by hand. */
const YEARS = 10;

/** Makes a key of P-256 and a certificate that it vouches for itself, for one host name. */
export function selfSigned(host: string, now = Date.now()): KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const algorithm = der(TAG.sequence, hex(OID.ecdsaWithSha256));
  const attribute = der(TAG.sequence, hex(OID.commonName), der(TAG.utf8, Buffer.from(host)));
  const name = der(TAG.sequence, der(TAG.set, attribute));
  // A minute ago: the client's clock may be behind.
  const validity = der(TAG.sequence, time(now - 60_000), time(now + YEARS * YEAR_MS));
  const body = der(
    TAG.sequence,
    hex(VERSION_3),
    der(TAG.integer, randomBytes(16).fill(0x40, 0, 1)), // positive, and of full length
    algorithm,
    name,
    validity,
    name,
    publicKey.export({ type: "spki", format: "der" }),
    der(
      0xa3,
      der(
        TAG.sequence,
        extension(OID.subjectAltName, der(TAG.sequence, der(DNS_NAME, Buffer.from(host)))),
        extension(OID.basicConstraints, der(TAG.sequence)),
      ),
    ),
  );
  const signature = der(TAG.bits, hex("00"), sign("sha256", body, privateKey));
  const text = der(TAG.sequence, body, algorithm, signature)
    .toString("base64")
    .replace(/.{1,64}/g, "$&\n");
  return {
    cert: `-----BEGIN CERTIFICATE-----\n${text}-----END CERTIFICATE-----\n`,
    key: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  };
}

function der(tag: number, ...parts: Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const { length } = content;
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

const hex = (text: string) => Buffer.from(text, "hex");

const extension = (oid: string, value: Buffer) => der(TAG.sequence, hex(oid), der(TAG.octets, value));

/** UTCTime: seconds, without the century. Good up to 2049 (RFC 5280 section 4.1.2.5). */
function time(ms: number): Buffer {
  return der(
    TAG.time,
    Buffer.from(
      `${new Date(ms)
        .toISOString()
        .replace(/[-:T]|\.\d+/g, "")
        .slice(2)}`,
    ),
  );
}
