/** What the machine is: kernel, distribution, boot, interfaces. Source: uname(2), os-release(5), random(4). */

import type { Prefix } from "../base/ip.ts";
import { check, libc } from "./libc.ts";
import { Netlink } from "./netlink.ts";
import { listAddresses } from "./rt_addr.ts";
import { listLinks } from "./rt_link.ts";

/** Bytes of each of the six texts of struct utsname. */
const UTSNAME_FIELD = 65;

export interface Uname {
  readonly system: string;
  readonly hostname: string;
  /** "6.1.0-18-amd64". */
  readonly release: string;
  readonly version: string;
  /** "x86_64", "aarch64". */
  readonly machine: string;
}

export function uname(): Uname {
  const bytes = new Uint8Array(6 * UTSNAME_FIELD);
  check(libc.uname(bytes), "uname");
  const [system, hostname, release, version, machine] = Array.from({ length: 5 }, (_, i) => {
    const field = bytes.subarray(i * UTSNAME_FIELD, (i + 1) * UTSNAME_FIELD);
    return new TextDecoder().decode(field.subarray(0, field.indexOf(0)));
  });
  return { system, hostname, release, version, machine };
}

/** A UUID that changes with each boot. */
export function bootId(): string {
  return Deno.readTextFileSync("/proc/sys/kernel/random/boot_id").trim();
}

/** ID and VERSION_ID of /etc/os-release: "debian", "12". Empty where the file is missing. */
export function distribution(): { readonly id: string; readonly version: string } {
  let text = "";
  try {
    text = Deno.readTextFileSync("/etc/os-release");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  const field = (name: string): string => new RegExp(`^${name}=["']?([^"'\\n]*)`, "m").exec(text)?.[1] ?? "";
  return { id: field("ID"), version: field("VERSION_ID") };
}

/** One address of one interface. */
export interface LocalAddress {
  readonly device: string;
  readonly index: number;
  readonly prefix: Prefix;
  readonly up: boolean;
  readonly loopback: boolean;
  readonly scope: "global" | "link" | "host";
}

/** All addresses of this network namespace. @throws FfiError */
export function localAddresses(): LocalAddress[] {
  using netlink = new Netlink();
  const links = new Map(listLinks(netlink).map((link) => [link.index, link]));
  return listAddresses(netlink).flatMap(({ index, prefix, scope }) => {
    const link = links.get(index);
    return link === undefined
      ? []
      : [{ device: link.name, index, prefix, up: link.up, loopback: link.loopback, scope }];
  });
}
