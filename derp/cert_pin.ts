/**
 * Checks of a relay's certificate that ordinary verification does not make: the pin of a self-signed leaf
 * (`CertName: "sha256-raw:<hex>"`), and the relay's DERP key in a certificate of its own behind the leaf.
 *
 * Source: tailscale.com/net/tlsdial.SetConfigExpectedCertHash; derp/derphttp parseMetaCert.
 */
import { createHash } from "node:crypto";
import { checkServerIdentity } from "node:tls";
import type { DetailedPeerCertificate } from "node:tls";
import { equalBytes, fromHex } from "../base/bytes.ts";
import { parseIp } from "../base/ip.ts";
import { NodePublic } from "../base/keys.ts";
import { PROTOCOL_VERSION } from "./frame.ts";

/** Common name of a meta certificate, in front of the hex of the relay's DERP key (`derpconst`). */
export const META_CERT_PREFIX = "derpkey";
/** More certificates than any chain has. */
const MAX_CHAIN = 16;

/** What a server presented, leaf first. */
export function certificateChain(leaf: DetailedPeerCertificate): DetailedPeerCertificate[] {
  const chain: DetailedPeerCertificate[] = [];
  for (let next = leaf; next?.raw !== undefined && chain.length < MAX_CHAIN; next = next.issuerCertificate) {
    if (chain.includes(next)) break;
    chain.push(next);
  }
  return chain;
}

function commonName(certificate: DetailedPeerCertificate): string {
  const name: string | string[] | undefined = certificate.subject?.CN;
  return (Array.isArray(name) ? name[0] : name) ?? "";
}

/**
 * Undefined when the chain is exactly the pinned certificate (meta certificates aside), it is valid now, and it names
 * the host unless that is an IP address; else what is wrong with it.
 *
 * @param pin 64 hex digits of the SHA-256 of the leaf's DER. @param host `DERPNode.HostName`.
 * @param now Unix milliseconds.
 */
export function checkCertificatePin(
  chain: readonly DetailedPeerCertificate[],
  pin: string,
  host: string,
  now: number,
): string | undefined {
  const leaves = chain.filter((certificate) => !commonName(certificate).startsWith(META_CERT_PREFIX));
  if (leaves.length !== 1) return `the server presented ${leaves.length} certificates, want the one pinned`;
  const leaf = leaves[0];
  const want = fromHex(pin);
  const seen = new Uint8Array(createHash("sha256").update(leaf.raw).digest());
  if (want === undefined || !equalBytes(seen, want)) return `the certificate's hash is ${seen.toHex()}, want ${pin}`;
  if (parseIp(host) === undefined) {
    const mismatch = checkServerIdentity(host, leaf);
    if (mismatch !== undefined) return mismatch.message;
  }
  if (now > Date.parse(leaf.valid_to)) return `the certificate expired on ${leaf.valid_to}; check the clock`;
  if (now < Date.parse(leaf.valid_from)) return `the certificate is valid from ${leaf.valid_from} on; check the clock`;
  return undefined;
}

/** The relay's DERP key, when a meta certificate of our protocol version tells it. */
export function serverKeyOf(chain: readonly DetailedPeerCertificate[]): NodePublic | undefined {
  for (const certificate of chain) {
    const name = commonName(certificate);
    if (!name.startsWith(META_CERT_PREFIX)) continue;
    const key = fromHex(name.slice(META_CERT_PREFIX.length));
    if (key?.length !== 32 || parseInt(certificate.serialNumber, 16) !== PROTOCOL_VERSION) continue;
    return new NodePublic(key);
  }
  return undefined;
}
