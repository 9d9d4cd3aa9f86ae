/**
 * The programs of others that this one runs, each looked for at fixed absolute paths: neither `PATH` nor the working
 * directory decides what runs as root. One that is missing is named with the package that has it.
 */

interface Program {
  /** The Debian package. */
  readonly package: string;
  /** In the order they are tried. */
  readonly paths: readonly string[];
}

const sbin = (name: string): readonly string[] => [`/usr/sbin/${name}`, `/sbin/${name}`, `/usr/local/sbin/${name}`];
const bin = (name: string): readonly string[] => [`/usr/bin/${name}`, `/bin/${name}`, `/usr/local/bin/${name}`];

/** All of them. */
export const PROGRAMS = {
  nft: { package: "nftables", paths: sbin("nft") },
  "iptables-restore": { package: "iptables", paths: sbin("iptables-restore") },
  "ip6tables-restore": { package: "iptables", paths: sbin("ip6tables-restore") },
  "iptables-nft-restore": { package: "iptables", paths: sbin("iptables-nft-restore") },
  "ip6tables-nft-restore": { package: "iptables", paths: sbin("ip6tables-nft-restore") },
  "iptables-legacy-restore": { package: "iptables", paths: sbin("iptables-legacy-restore") },
  "ip6tables-legacy-restore": { package: "iptables", paths: sbin("ip6tables-legacy-restore") },
  resolvectl: { package: "systemd-resolved", paths: bin("resolvectl") },
  resolvconf: { package: "openresolv", paths: [...sbin("resolvconf"), ...bin("resolvconf")] },
  ssh: { package: "openssh-client", paths: bin("ssh") },
  systemctl: { package: "systemd", paths: bin("systemctl") },
} as const satisfies Readonly<Record<string, Program>>;

/** One of the programs. */
export type ProgramName = keyof typeof PROGRAMS;

/** A program that is needed and not there. */
export class ProgramMissing extends Error {
  override readonly name = "ProgramMissing";

  constructor(name: ProgramName) {
    super(`Cannot find ${name} at ${PROGRAMS[name].paths.join(", ")}; install the package ${PROGRAMS[name].package}`);
  }
}

/** The first of a program's paths at which there is a file, or undefined. @param isFile For tests. */
export function findProgram(name: ProgramName, isFile: (path: string) => boolean = isRegularFile): string | undefined {
  return PROGRAMS[name].paths.find(isFile);
}

/** As `findProgram`. @throws ProgramMissing */
export function needProgram(name: ProgramName, isFile?: (path: string) => boolean): string {
  const path = findProgram(name, isFile);
  if (path === undefined) throw new ProgramMissing(name);
  return path;
}

function isRegularFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
