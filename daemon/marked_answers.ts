/**
 * Reverse path filtering and the answers to our own sockets. They come in where the main table says, while an exit node
 * leads the rest into the tunnel: a strict rp_filter drops them unless it looks at their mark.
 *
 * ```
 *   net.ipv4.conf.all.src_valid_mark   0   the marks are not looked at
 *                                      1   the operator's, tailscaled's, wg-quick's: left as it is
 *                                      52  ours, the number of the instance's table: back to 0 with the exit node
 * ```
 * The kernel asks only whether it is 0, so the value itself says, over a crash too, whose it is. Source:
 * net/ipv4/fib_frontend.c (__fib_validate_source), include/linux/inetdevice.h (IN_DEV_SRC_VMARK).
 */
import type { ReadSysctl } from "./forwarding.ts";
import type { Instance } from "./instance.ts";

/** Writes a file below /proc/sys. @throws Error */
export type WriteSysctl = (path: string, value: string) => void;

const PATH = "net/ipv4/conf/all/src_valid_mark";
const OFF = "0";

/** Lets the answers in. @returns what has to be said when that cannot be set, "" otherwise */
export function allowMarkedAnswers({ table }: Instance, write: WriteSysctl, read: ReadSysctl): string {
  if ((read(PATH)?.trim() ?? OFF) !== OFF) return "";
  try {
    write(PATH, String(table));
    return "";
  } catch (cause) {
    return `cannot set net.ipv4.conf.all.src_valid_mark, which an exit node needs where rp_filter is strict: ${
      cause instanceof Error ? cause.message : cause
    }`;
  }
}

/** Puts back what `allowMarkedAnswers` set, if nobody else has set it since. @returns whether there was something */
export function restoreMarkedAnswers({ table }: Instance, write: WriteSysctl, read: ReadSysctl): boolean {
  if (read(PATH)?.trim() !== String(table)) return false;
  try {
    write(PATH, OFF);
    return true;
  } catch {
    // Who may not write it has not written it either.
    return false;
  }
}

/** To the kernel. @throws Error */
export const writeSysctl: WriteSysctl = (path, value) => Deno.writeTextFileSync(`/proc/sys/${path}`, value);
