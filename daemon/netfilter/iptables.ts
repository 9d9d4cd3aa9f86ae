/** The kernel's packet filter by the programs of iptables, for machines without `nft`. */
import { findProgram } from "../../base/programs.ts";
import type { ProgramName } from "../../base/programs.ts";
import type { Instance } from "../instance.ts";
import type { FilterBackend } from "./firewall.ts";
import { parseSaved, restoreScript, savedPrint } from "./iptables_script.ts";
import type { Saved } from "./iptables_script.ts";
import { NO_RULES } from "./ruleset.ts";
import type { Ruleset } from "./ruleset.ts";
import { runProgram } from "./run_program.ts";

/**
 * Which of the two sets of tables: the operator's choice (what `iptables` is a link to), the kernel's older ones, or those
 * that nft sees too.
 */
export type IptablesVariant = "iptables" | "iptables-legacy" | "iptables-nft";

const RESTORE = {
  "iptables": { 4: "iptables-restore", 6: "ip6tables-restore" },
  "iptables-legacy": { 4: "iptables-legacy-restore", 6: "ip6tables-legacy-restore" },
  "iptables-nft": { 4: "iptables-nft-restore", 6: "ip6tables-nft-restore" },
} as const satisfies Record<IptablesVariant, Record<4 | 6, ProgramName>>;

/** Seconds to wait for another program that holds the tables' lock. */
const LOCK_WAIT = "5";
const FAMILIES = [4, 6] as const;

/** Whether its programs are there. */
export function hasIptables(variant: IptablesVariant): boolean {
  return findProgram(RESTORE[variant][4]) !== undefined;
}

/** What the variant's program is in truth, behind the operator's alternatives; "" where there is none. */
function realProgram(variant: IptablesVariant): string {
  const path = findProgram(RESTORE[variant][4]);
  try {
    return path === undefined ? "" : Deno.realPathSync(path);
  } catch {
    return "";
  }
}

/** The operator's alternatives lead to the older tables, and this kernel has them. */
export async function isLegacyChosen(): Promise<boolean> {
  if (!realProgram("iptables").includes("legacy")) return false;
  const restore = findProgram("iptables-legacy-restore");
  if (restore === undefined) return false;
  return await runProgram(restore, ["--noflush", "--test"], "*filter\nCOMMIT\n").then(() => true, () => false);
}

/** All tables of a family, as the program prints them. @throws Error */
export function saveTables(variant: IptablesVariant, family: 4 | 6): Promise<string> {
  const restore = findProgram(RESTORE[variant][family]);
  if (restore === undefined) return Promise.resolve("");
  return runProgram(restore.replace(/restore$/, "save"), []);
}

/** The backend. `hasIptables` is true of the variant. */
export function iptablesBackend(instance: Instance, variant: IptablesVariant): FilterBackend {
  // A machine without IPv6 has no tables for it either, and the ruleset no rules.
  const saved = async (family: 4 | 6): Promise<Saved> => {
    const text = saveTables(variant, family);
    return parseSaved(await (family === 4 ? text : text.catch(() => "")));
  };
  const bring = async (ruleset: Ruleset) => {
    for (const family of FAMILIES) {
      const script = restoreScript(instance, ruleset, family, await saved(family));
      if (script === "") continue;
      const restore = findProgram(RESTORE[variant][family]);
      if (restore === undefined) {
        throw new Error(`Cannot find ${RESTORE[variant][family]}; install the package iptables`);
      }
      await runProgram(restore, ["--noflush", "--wait", LOCK_WAIT], script);
    }
  };
  return {
    name: variant,
    // The kernel tells nobody of changes in its older tables.
    silent: !realProgram(variant).includes("nft"),
    look: async () => {
      const prints = [];
      for (const family of FAMILIES) prints.push(`IPv${family}`, savedPrint(instance, await saved(family)));
      return { print: prints.join("\n"), limit: "" };
    },
    apply: (ruleset) => bring(ruleset),
    remove: () => bring(NO_RULES),
  };
}
