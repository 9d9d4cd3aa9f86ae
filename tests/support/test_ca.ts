/** A certificate authority that lives for one test, and a server certificate of it. */
import "reflect-metadata";
import * as x509 from "@peculiar/x509";

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const HOUR_MS = 3_600_000;

export interface TestCertificates {
  /** PEM of the root. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

function newKeys(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]) as Promise<CryptoKeyPair>;
}

/** When a leaf is valid, Unix milliseconds. */
export interface TestDates {
  readonly from: number;
  readonly to: number;
}

/** A root "Test Root", valid for a long time, and a leaf whose subject is the first name, valid for an hour each way. */
export async function testCertificates(
  dns: readonly string[],
  ips: readonly string[],
  valid: TestDates = { from: Date.now() - HOUR_MS, to: Date.now() + HOUR_MS },
): Promise<TestCertificates> {
  const dates = { notBefore: new Date(valid.from), notAfter: new Date(valid.to) };
  const rootKeys = await newKeys();
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    notBefore: new Date("2020-01-01"),
    notAfter: new Date("2049-12-31"),
    serialNumber: "01",
    name: "CN=Test Root",
    signingAlgorithm: ALGORITHM,
    keys: rootKeys,
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  const leafKeys = await newKeys();
  const leaf = await x509.X509CertificateGenerator.create({
    ...dates,
    serialNumber: "02",
    subject: `CN=${dns[0]}`,
    issuer: root.subject,
    publicKey: leafKeys.publicKey,
    signingKey: rootKeys.privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.SubjectAlternativeNameExtension([
        ...dns.map((value) => ({ type: "dns" as const, value })),
        ...ips.map((value) => ({ type: "ip" as const, value })),
      ]),
    ],
  });
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", leafKeys.privateKey);
  return { ca: root.toString("pem"), cert: leaf.toString("pem"), key: x509.PemConverter.encode(pkcs8, "PRIVATE KEY") };
}
