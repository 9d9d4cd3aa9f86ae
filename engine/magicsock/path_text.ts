/** How the ends of paths are written, for people and for `ipnstate`. */
import type { AddrId, AddrTable } from "../ports.ts";

/** `ip:port`, `ip:port:vni:N` through a session at a peer relay, or `derp-N` when `addr` is 0. */
export function pathText(
  addrs: AddrTable,
  { addr, vni, derp }: { readonly addr: AddrId; readonly vni: number; readonly derp: number },
): string {
  if (addr === 0) return `derp-${derp}`;
  return vni === 0 ? addrs.text(addr) : relayText(addrs, addr, vni);
}

/** As `ipnstate.PeerStatus.PeerRelay` has it; "" when `vni` is 0. */
export function relayText(addrs: AddrTable, addr: AddrId, vni: number): string {
  return vni === 0 ? "" : `${addrs.text(addr)}:vni:${vni}`;
}
