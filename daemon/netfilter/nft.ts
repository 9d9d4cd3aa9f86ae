/** The kernel's packet filter by the program `nft`. */
import { findProgram, needProgram } from "../../base/programs.ts";
import type { Instance } from "../instance.ts";
import type { FilterBackend } from "./firewall.ts";
import { applyScript, fingerprint, isOwned, parseSeen, removalScript } from "./nft_script.ts";
import type { Seen } from "./nft_script.ts";
import { runProgram } from "./run_program.ts";

/** Whether there is one. */
export function hasNft(): boolean {
  return findProgram("nft") !== undefined;
}

/** The backend. @throws ProgramMissing */
export function nftBackend(instance: Instance): FilterBackend {
  const nft = needProgram("nft");
  // Contents of sets are left out: there may be a hundred thousand elements in them.
  const list = async (): Promise<Seen> => parseSeen(await runProgram(nft, ["-j", "-t", "list", "ruleset"]));
  const load = async (script: string) => {
    if (script !== "") await runProgram(nft, ["-f", "-"], script);
  };
  let device = "";
  return {
    name: "nftables",
    silent: false,
    look: async () => {
      const seen = await list();
      const limit = isOwned(seen) && device !== ""
        ? "firewalld keeps its table for itself, and judges tailnet packets too; let them in with: " +
          `firewall-cmd --permanent --zone=trusted --add-interface=${device} && firewall-cmd --reload`
        : "";
      return { print: fingerprint(instance, seen), limit };
    },
    apply: async (ruleset, tun) => {
      device = tun;
      await load(applyScript(instance, ruleset, tun, await list()));
    },
    remove: async () => {
      device = "";
      await load(removalScript(instance, await list()));
    },
  };
}
