/**
 * Reverse path filtering and the answers to our own sockets. They come in where the main table says, while an exit node
 * leads the rest into the tunnel: a strict rp_filter drops them unless it looks at their mark.
 *
 * ```
 *   net.ipv4.conf.all.src_valid_mark   0   the marks are not looked at
 *                                      1   the operator's, tailscaled's, wg-quick's: left as it is
 *                                      52  ours, the number of the instance's table: back to 0 with the exit node, or
 *                                          left to another instance that has one, by the number of its table
 * ```
 * The kernel asks only whether it is 0, so the value itself says, over a crash too, whose it is. It is the one setting of
 * the whole machine that a node changes. Source:
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

/**
 * Puts back what `allowMarkedAnswers` set, if nobody else has set it since.
 * @param others tables of other instances that use an exit node, in the kernel as it is now
 * @returns what stands there now, the table of another instance or 0; undefined when there was nothing to put back
 */
export function restoreMarkedAnswers(
  { table }: Instance,
  write: WriteSysctl,
  read: ReadSysctl,
  others: () => readonly number[],
): number | undefined {
  if (read(PATH)?.trim() !== String(table)) return undefined;
  try {
    let heir = others()[0] ?? 0;
    write(PATH, String(heir));
    // One that began between the look and the write has seen ours there, and set nothing.
    if (heir === 0) heir = others()[0] ?? 0;
    if (heir !== 0) write(PATH, String(heir));
    return heir;
  } catch {
    // Who may not write it has not written it either; and where nobody can say who needs it, it stays.
    return undefined;
  }
}

/** To the kernel. @throws Error */
export const writeSysctl: WriteSysctl = (path, value) => Deno.writeTextFileSync(`/proc/sys/${path}`, value);
