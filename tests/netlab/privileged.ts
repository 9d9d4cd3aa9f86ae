/** Tests that need root, TUN devices and network namespaces: they say so where they cannot run. */

import { closeFd, libc } from "../../ffi/libc.ts";
import { createNetns, deleteNetns } from "../../ffi/netns.ts";

let reason: string | undefined | null = null;

/** Why namespaces and TUN devices cannot be had here, or undefined when they can. */
export function labUnavailable(): string | undefined {
  if (reason === null) reason = probe();
  return reason;
}

/**
 * As `Deno.test`. Without privileges, or one of the programs, the test is ignored, by name and with the reason; with
 * CI=true it fails.
 */
export function privilegedTest(name: string, body: () => void | Promise<void>, ...programs: string[]): void {
  const missing = labUnavailable() ?? programs.map(programMissing).find((reason) => reason !== undefined);
  if (missing === undefined) Deno.test(name, body);
  else if (Deno.env.get("CI") === "true") {
    Deno.test(name, () => {
      throw new Error(`Cannot skip under CI: ${missing}`);
    });
  } else Deno.test({ name: `${name} [skipped: ${missing}]`, ignore: true, fn: body });
}

/** Undefined when the program `name` is on the path. */
export function programMissing(name: string): string | undefined {
  const found = (Deno.env.get("PATH") ?? "").split(":").concat("/usr/sbin", "/sbin").some((directory) => {
    try {
      return Deno.statSync(`${directory}/${name}`).isFile;
    } catch {
      return false;
    }
  });
  return found ? undefined : `no program ${name}`;
}

function probe(): string | undefined {
  if (Deno.build.os !== "linux") return "not Linux";
  if (Deno.uid() !== 0) return "not root";
  const fd = libc.open(new TextEncoder().encode("/dev/net/tun\0"), 2, 0);
  if (fd < 0) return "no /dev/net/tun";
  closeFd(fd);
  const name = `probe${Deno.pid}-${crypto.getRandomValues(new Uint8Array(4)).toHex()}`;
  try {
    createNetns(name);
    deleteNetns(name);
  } catch (error) {
    return `no network namespaces: ${error instanceof Error ? error.message : error}`;
  }
  return undefined;
}
