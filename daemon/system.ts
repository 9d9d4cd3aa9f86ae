/** The machine behind the ports: trusted roots, addresses. */
import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import { formatIp, formatPrefix } from "../base/ip.ts";
import { Netlink } from "../ffi/netlink.ts";
import { listAddresses } from "../ffi/rt_addr.ts";
import { listLinks } from "../ffi/rt_link.ts";
import type { Link } from "../ffi/rt_link.ts";
import { localAddresses } from "../ffi/sysinfo.ts";
import type { InterfaceAddress } from "./endpoints.ts";
import type { LocalNetwork } from "./local_networks.ts";

/** Where Linux distributions keep the roots the administrator trusts. */
const SYSTEM_ROOTS = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/**
 * Certificate authorities to trust, PEM: those of the runtime, of the system, of `SSL_CERT_FILE` and of `--ca-file`.
 * Deno looks at none but its own. @throws Error when a file that was asked for by name cannot be read.
 */
export function trustedRoots(caFile: string | undefined): string[] {
  // By content: systems trust mostly what the runtime does, and each connection reads all that it is given.
  const roots = new Map<string, string>();
  const add = (pem: string) => {
    const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
    for (const block of blocks) roots.set(block.replace(/\s/g, ""), block);
    return blocks.length;
  };
  rootCertificates.forEach(add);
  for (const path of SYSTEM_ROOTS) {
    try {
      add(readFileSync(path, "utf8"));
      break;
    } catch {
      // Another distribution's path.
    }
  }
  for (const path of [Deno.env.get("SSL_CERT_FILE"), caFile]) {
    if (!path) continue;
    try {
      if (add(readFileSync(path, "utf8")) === 0) throw new Error("it has no PEM certificate");
    } catch (cause) {
      throw new Error(
        `Cannot read certificate authorities of ${path}: ${cause instanceof Error ? cause.message : cause}`,
      );
    }
  }
  return [...roots.values()];
}

/** Addresses of this machine's interfaces that are up. */
export function interfaceAddresses(): InterfaceAddress[] {
  return localAddresses()
    .filter((local) => local.up)
    .map((local) => ({ device: local.device, address: formatIp(local.prefix.ip) }));
}

/** Kinds of a bridge's ports that lead to something on this machine. */
const GUEST_PORTS: ReadonlySet<string> = new Set(["veth", "tun", "dummy", "vxlan"]);

/** Networks of this machine's interfaces that are up. */
export function localNetworks(): LocalNetwork[] {
  using netlink = new Netlink();
  const links = listLinks(netlink);
  return listAddresses(netlink).flatMap(({ index, prefix, scope }): LocalNetwork[] => {
    const link = links.find((one) => one.index === index);
    if (link === undefined || !link.up || scope === "link") return [];
    return [{ device: link.name, prefix: formatPrefix(prefix), kind: networkKind(link, links) }];
  });
}

function networkKind(link: Link, links: readonly Link[]): LocalNetwork["kind"] {
  if (link.loopback) return "loopback";
  if (link.kind === "tun" || link.kind === "wireguard") return "tunnel";
  if (link.kind !== "bridge") return "lan";
  const ports = links.filter(({ master }) => master === link.index);
  return ports.every(({ kind = "" }) => GUEST_PORTS.has(kind)) ? "guests" : "lan";
}
