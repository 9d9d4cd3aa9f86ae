/**
 * The certificate of the embedded DERP server: one self-signed ECDSA P-256 leaf, pinned in the DERP map by its hash, so
 * that a relay needs no domain and no certificate authority.
 *
 * Clients check the hash, the dates and, when `HostName` is no IP address, the name (cert_pin.ts); so the leaf is valid
 * from a day ago, for clocks that are behind, and for ten years. A second, "meta" certificate behind the leaf tells the
 * relay's DERP key, which saves clients a round trip; clients do not count it as part of the chain.
 * Source: tailscale.com/net/tlsdial.SetConfigExpectedCertHash; derp/derpserver initMetacert.
 */
import { createHash } from "node:crypto";
import { parseIp } from "../base/ip.ts";
import type { NodePublic, RandomBytes } from "../base/keys.ts";
import { META_CERT_PREFIX } from "./cert_pin.ts";
import { CERT_HASH_PREFIX } from "./derp_map.ts";
import { PROTOCOL_VERSION } from "./frame.ts";

const DAY_MS = 86_400_000;
const LIFETIME_MS = 3650 * DAY_MS;
const LEAF_ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

/** A leaf, ready to be stored and served. */
export interface SelfSigned {
  /** PKCS #8 PEM. Secret: write it with mode 0600. */
  readonly keyPem: string;
  readonly certPem: string;
  /** `sha256-raw:<hex>`, for `DERPNode.CertName`. */
  readonly certName: string;
}

/** The library registers its providers by decorators, which want this polyfill first; 60 ms that only relays spend. */
async function loadX509(): Promise<typeof import("@peculiar/x509")> {
  await import("reflect-metadata");
  return await import("@peculiar/x509");
}

/** A positive serial number of at most 20 bytes (RFC 5280 4.1.2.2). */
function serialNumber(random: RandomBytes): string {
  const bytes = random(16);
  bytes[0] = (bytes[0] & 0x7f) | 0x40;
  return bytes.toHex();
}

/**
 * Makes a key and a certificate for it.
 * @param hosts names and addresses clients dial; the first is the subject. @param now Unix milliseconds.
 */
export async function makeSelfSigned(hosts: readonly string[], now: number, random: RandomBytes): Promise<SelfSigned> {
  if (hosts.length === 0) throw new TypeError("Cannot make a certificate for no host, want at least one");
  const x509 = await loadX509();
  const keys = await crypto.subtle.generateKey(LEAF_ALGORITHM, true, ["sign", "verify"]) as CryptoKeyPair;
  const names = hosts.map((value) => ({ type: parseIp(value) === undefined ? "dns" as const : "ip" as const, value }));
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(random),
    name: [{ CN: [hosts[0]] }],
    notBefore: new Date(now - DAY_MS),
    notAfter: new Date(now + LIFETIME_MS),
    signingAlgorithm: LEAF_ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(names),
    ],
  });
  const pkcs8 = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return {
    keyPem: x509.PemConverter.encode(pkcs8, "PRIVATE KEY") + "\n",
    certPem: certificate.toString("pem") + "\n",
    certName: certNameOfDer(new Uint8Array(certificate.rawData)),
  };
}

/**
 * The PEM of a meta certificate for a relay's key. Serve it behind the leaf: `cert: certPem + metaPem`.
 * It proves nothing by itself; the leaf's signature over the TLS handshake covers it.
 */
export async function makeMetaCertificate(serverKey: NodePublic, now: number): Promise<string> {
  const x509 = await loadX509();
  const algorithm = { name: "Ed25519" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]) as CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: PROTOCOL_VERSION.toString(16).padStart(2, "0"),
    name: [{ CN: [META_CERT_PREFIX + serverKey.hex] }],
    notBefore: new Date(now - 30 * DAY_MS),
    notAfter: new Date(now + LIFETIME_MS),
    signingAlgorithm: algorithm,
    keys,
    extensions: [new x509.BasicConstraintsExtension(false, undefined, true)],
  });
  return certificate.toString("pem") + "\n";
}

/** The `CertName` that pins a stored certificate, or undefined when the text holds none. Only the first counts. */
export function certNameOf(certPem: string): string | undefined {
  const match = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/.exec(certPem);
  if (match === null) return undefined;
  try {
    return certNameOfDer(Uint8Array.fromBase64(match[1].replace(/\s+/g, "")));
  } catch {
    return undefined;
  }
}

function certNameOfDer(der: Uint8Array): string {
  return CERT_HASH_PREFIX + createHash("sha256").update(der).digest("hex");
}
