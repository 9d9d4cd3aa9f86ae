/** `--cleanup`: what a daemon left on the machine that could not stop by itself. */
import { cleanUpDns } from "./dns/os/system.ts";
import type { DaemonFlags } from "./flags.ts";
import { readSysctl } from "./forwarding.ts";
import type { Instance } from "./instance.ts";
import { restoreMarkedAnswers, writeSysctl } from "./marked_answers.ts";
import { cleanUpFilter } from "./netfilter/choose.ts";
import { cleanUp, exitTables, isInUse } from "./netlink_routing.ts";

/** Removes it. @returns what was done, one line each */
export async function cleanUpMachine({ tun, instance }: Pick<DaemonFlags, "tun" | "instance">): Promise<string[]> {
  const lines = cleanUp(tun, instance);
  // What a running daemon needs is left to it, its packet filter and its DNS too.
  if (isInUse(tun)) return lines;
  lines.push(...await cleanUpDns(etcDirectory(), instance.prefix), ...await cleanUpFilter(instance));
  const left = putMarkedAnswersBack(instance);
  if (left === undefined) return lines;
  const whose = left === 0 ? "back" : `to the node of table ${left}, which needs it`;
  return [...lines, `put net.ipv4.conf.all.src_valid_mark ${whose}`];
}

/** As `restoreMarkedAnswers`, in the kernel. */
export function putMarkedAnswersBack(instance: Instance): number | undefined {
  return restoreMarkedAnswers(instance, writeSysctl, readSysctl, () => exitTables(instance));
}

/** `AGENT_TEST_ETC` keeps a test's daemon away from the machine's own settings. */
export function etcDirectory(): string {
  return Deno.env.get("AGENT_TEST_ETC") || "/etc";
}
