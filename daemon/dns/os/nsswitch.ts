/** nsswitch.conf(5): whether programs ask systemd-resolved whatever resolv.conf says. Pure. */

/** True where `hosts:` names the module `resolve` (nss-resolve(8)), and not after `dns`, which would be asked first. */
export function asksResolved(nsswitchConf: string): boolean {
  for (const line of nsswitchConf.split("\n")) {
    const [database, ...modules] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (database !== "hosts:") continue;
    const first = modules.find((name) => name === "dns" || name === "resolve");
    if (first !== undefined) return first === "resolve";
  }
  return false;
}
