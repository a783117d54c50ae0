/** Certificates, names and authorities in a configuration: what is refused, where, and in which words. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { formatConfigErrors } from "../../src/declarative/declarative.ts";
import { Authority, type KeyPair } from "../support/certificates.ts";
import { requireProgram } from "../support/services.ts";
import { load } from "./support.ts";

describe("certificates in a configuration", () => {
  let authority: Authority;
  let a: KeyPair;
  let b: KeyPair;
  let rsa: KeyPair;
  let ca: string;
  let expired: string;

  before(async () => {
    authority = await Authority.create();
    a = await authority.issue("a", ["DNS:a.test"]);
    b = await authority.issue("b", ["DNS:b.test"]);
    ca = await readFile(authority.file, "utf8");
    const { directory: cwd } = authority;
    const openssl = (command: string) =>
      execFileSync(requireProgram("openssl"), command.split(" "), { cwd, stdio: "ignore" });
    openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=rsa -keyout rsa.key -out rsa.crt");
    openssl("x509 -req -in a.csr -signkey a.key -days -1 -out old.crt");
    const read = (name: string) => readFile(join(cwd, name), "utf8");
    rsa = { cert: await read("rsa.crt"), key: await read("rsa.key") };
    expired = await read("old.crt");
  });
  after(async () => {
    await authority?.[Symbol.asyncDispose]();
  });

  const faults = (document: object) => {
    const loaded = load(JSON.stringify({ _format_version: "3.0", ...document }));
    const text = loaded.ok ? "" : formatConfigErrors(loaded.errors);
    for (const { key } of [a, b, rsa])
      assert.ok(!text.includes(key.split("\n")[1] as string), "quotes a key");
    return text;
  };
  const certificates = (...list: object[]) => faults({ certificates: list });

  it("are sound with names as strings and as records, and with a second kind of key", () => {
    const alt = { cert_alt: rsa.cert, key_alt: rsa.key };
    assert.equal(certificates({ ...a, ...alt, snis: ["a.test", { name: "*.a.test" }, "a.*", "*"] }), "");
    assert.equal(faults({ ca_certificates: [{ cert: ca }] }), "");
  });

  for (const [title, entity, message] of [
    [
      "a certificate that is none",
      () => ({ ...a, cert: "no PEM" }),
      /certificate cert: invalid certificate: expected PEM text/,
    ],
    [
      "a certificate that cannot be read",
      () => ({ ...a, cert: a.cert.replace(/\n.{20}/, "\nAAAAAAAAAAAAAAAAAAAA") }),
      /cert: invalid certificate: it cannot be read/,
    ],
    ["a key that is none", () => ({ ...a, key: a.cert }), /certificate key: invalid key/],
    ["no key", () => ({ cert: a.cert }), /certificate key: required field missing/],
    [
      "another certificate's key",
      () => ({ ...a, key: b.key }),
      /certificate key: certificate does not match key/,
    ],
    [
      "half a second certificate",
      () => ({ ...a, cert_alt: rsa.cert }),
      /key_alt: required field missing[\s\S]*all or none of these fields must be set: 'cert_alt', 'key_alt'/,
    ],
    [
      "a second certificate of the same kind of key",
      () => ({ ...a, cert_alt: b.cert, key_alt: b.key }),
      /cert_alt: certificate and alternative certificate need to have different type/,
    ],
    ["a name that is none", () => ({ ...a, snis: ["a b"] }), /sni 'a b' name: invalid hostname/],
    ["two wildcards in a name", () => ({ ...a, snis: ["*.a.*"] }), /at most one '\*' is allowed/],
  ] as const)
    it(`are refused with ${title}`, () => {
      assert.match(certificates(entity()), message);
    });

  it("cannot share a name, nor can those of two workspaces", () => {
    assert.match(
      certificates({ ...a, snis: ["a.test"] }, { ...b, snis: ["a.test"] }),
      /name set to 'a.test' already declared/,
    );
    const workspaces = [{ name: "acme", hosts: ["a.test"], certificates: [{ ...b, snis: ["a.test"] }] }];
    assert.match(
      faults({ certificates: [{ ...a, snis: ["A.test"] }], workspaces }),
      /already declared; it is unique over all workspaces/,
    );
  });

  it("of a workspace are for names that it owns alone", () => {
    const own = (...snis: string[]) =>
      faults({
        workspaces: [{ name: "acme", hosts: ["acme.test", "*.acme.io"], certificates: [{ ...a, snis }] }],
      });
    assert.equal(own("acme.test", "x.acme.io", "*.acme.io"), "");
    for (const name of ["other.test", "*.acme.test", "acme.*", "*"])
      assert.match(
        own(name),
        /is not owned by workspace 'acme'; workspace 'acme' owns: acme.test, \*\.acme\.io/,
      );
  });

  it("of authorities are one each, in force, and an authority's", () => {
    const refused = (cert: string) => faults({ ca_certificates: [{ cert }] });
    assert.match(refused(ca + ca), /ca_certificate cert: please submit only one certificate at a time/);
    assert.match(refused(a.cert), /missing the "CA" basic constraint/);
    assert.match(refused(expired), /"Not After" time is in the past/);
    assert.match(
      faults({ ca_certificates: [{ cert: ca }, { cert: ca }] }),
      /cert_digest set to '[0-9a-f]{64}' already/,
    );
  });
});
