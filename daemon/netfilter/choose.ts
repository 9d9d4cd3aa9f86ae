/**
 * By which program the packet filter is reached.
 *
 * ```
 *   TS_DEBUG_FIREWALL_MODE says    ─▶ that one
 *   iptables is iptables-legacy, or
 *   its tables have rules          ─▶ iptables-legacy   an accept elsewhere does not count against their drops
 *   nft is there                   ─▶ nftables          sees what iptables-nft, Docker's and ufw's, makes
 *   iptables-restore is there      ─▶ iptables          whichever the operator's alternatives lead to
 *   one of its variants            ─▶ iptables-nft, iptables-legacy
 *   nothing                        ─▶ ProgramMissing, of nft
 * ```
 */
import type { Instance } from "../instance.ts";
import type { FilterBackend } from "./firewall.ts";
import { hasIptables, iptablesBackend, isLegacyChosen, saveTables } from "./iptables.ts";
import type { IptablesVariant } from "./iptables.ts";
import { isUsed } from "./iptables_script.ts";
import { hasNft, nftBackend } from "./nft.ts";

/** Tailscale's own variable, with its two words; anything else leaves the choice to us. */
const MODE = "TS_DEBUG_FIREWALL_MODE";
const VARIANTS: readonly IptablesVariant[] = ["iptables", "iptables-nft", "iptables-legacy"];

/** The one for this machine, as it is now. @throws ProgramMissing */
export async function chooseBackend(instance: Instance, mode = Deno.env.get(MODE) ?? ""): Promise<FilterBackend> {
  const variant = VARIANTS.find(hasIptables);
  if (mode === "nftables") return nftBackend(instance);
  if (mode === "iptables" && variant !== undefined) return iptablesBackend(instance, variant);
  if (await usesLegacy()) return iptablesBackend(instance, "iptables-legacy");
  if (hasNft() || variant === undefined) return nftBackend(instance);
  return iptablesBackend(instance, variant);
}

async function usesLegacy(): Promise<boolean> {
  if (!hasIptables("iptables-legacy")) return false;
  if (await isLegacyChosen()) return true;
  return await hasLegacyTables() && await saveTables("iptables-legacy", 4).then(isUsed, () => false);
}

/** The older tables exist in this namespace; looking at them by their own program would make them. */
async function hasLegacyTables(): Promise<boolean> {
  return (await Deno.readTextFile("/proc/net/ip_tables_names").catch(() => "")).trim() !== "";
}

/** Removes what a killed daemon left (`--cleanup`), by whichever program it was put there. @returns lines on what was done */
export async function cleanUpFilter(instance: Instance): Promise<string[]> {
  const legacy = await hasLegacyTables();
  const variants = VARIANTS.filter(hasIptables).filter((variant) => variant !== "iptables-legacy" || legacy);
  const backends = [
    ...(hasNft() ? [nftBackend(instance)] : []),
    ...variants.map((variant) => iptablesBackend(instance, variant)),
  ];
  const done: string[] = [];
  for (const backend of backends) {
    try {
      const before = await backend.look();
      await backend.remove();
      const after = await backend.look();
      if (before.print !== after.print) done.push(`removed the packet filter's rules (${backend.name})`);
    } catch (cause) {
      done.push(cause instanceof Error ? cause.message : String(cause));
    }
  }
  return done;
}
