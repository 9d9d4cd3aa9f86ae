/**
 * The systemd unit, the same text for `install-service` and for the package. Source: systemd.service(5), systemd.exec(5).
 *
 * What is not locked down, and why:
 *   MemoryDenyWriteExecute  V8 compiles to memory and ends at once under it; without its compiler there is no WebAssembly
 *   PrivateNetwork, PrivateUsers  the host's network is what the node is about
 *   CAP_NET_ADMIN (TUN, routes, rules, nftables), CAP_NET_RAW (ICMP), CAP_NET_BIND_SERVICE (DNS)
 *   /etc and /run are writable: resolv.conf, openresolv, iptables' lock; /proc/sys/net: src_valid_mark, for exit nodes
 */

/** What differs between units. */
export interface UnitOptions {
  /** Absolute path of the executable. */
  readonly exec: string;
  /** UDP port for peers unless /etc/default says another. Tailscale's is 41641: ours leaves it free. */
  readonly port?: number;
  /** Its configuration file; otherwise /etc/agent/agent.json, or NAME.json, where there is one. */
  readonly config?: string;
  /** Name of the instance, or `%i` for the template of all; undefined for the one node. */
  readonly instance?: string;
  /** More flags of the daemon. */
  readonly flags?: readonly string[];
}

/** UDP port of a node that is run as a service; instances beside it have any. */
export const SERVICE_PORT = 41642;

/** Where the service looks for a configuration. */
export function standardConfig(instance: string | undefined): string {
  return `/etc/agent/${instance ?? "agent"}.json`;
}

/** A word of a command line in a unit: quoted, and with what systemd would expand doubled. */
export function unitWord(word: string): string {
  const plain = word.replaceAll("%", "%%").replaceAll("$", "$$$$");
  return /^[\w@%+=:,./-]+$/.test(plain) ? plain : `"${plain.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
}

/** The unit's text. */
export function unitFile(
  { exec, instance, port = instance === undefined ? SERVICE_PORT : 0, ...rest }: UnitOptions,
): string {
  const { config, flags = [] } = rest;
  const program = unitWord(exec);
  const name = instance === undefined ? "agent" : `agent-${instance}`;
  const here = instance === undefined ? "" : ` --instance=${instance}`;
  const file = config === undefined ? `optional:${standardConfig(instance)}` : unitWord(config);
  const more = flags.map((flag) => ` ${unitWord(flag)}`).join("");
  return `# Made by 'agent install-service' or by the package. Change it by 'systemctl edit agent'.
[Unit]
Description=agent, a node of your tailnet${instance === undefined ? "" : ` (${instance})`}
Documentation=man:agent(1)
Wants=network-pre.target
After=network-pre.target NetworkManager.service systemd-resolved.service dbus.service
# However often it fails: a server that cannot be reached any more is worse than a line a second in the journal.
StartLimitIntervalSec=0

[Service]
Type=notify
Environment=PORT=${port} FLAGS=
EnvironmentFile=-/etc/default/${name}
ExecStart=${program} daemon${here} --port=\${PORT} --config=${file} $FLAGS${more}
# With an exit code, unlike SIGHUP: a file with mistakes is said here, and changes nothing.
ExecReload=${program}${here} reload --if-configured
# After a crash rules and routes stay until the next start, so that nothing leaves unprotected in between.
ExecStopPost=/bin/sh -c '[ "$$SERVICE_RESULT" != success ] || exec "$$0" daemon${here} --cleanup' ${program}
Restart=always
RestartSec=1
# A command line that is not understood will not be, the next time.
RestartPreventExitStatus=2
# The data plane has to answer three times in this time.
WatchdogSec=60
TimeoutStopSec=15
KillMode=mixed
# For a tailnet of 10,000 nodes a MemoryMax= here has to be 512M at least; the heap's limit follows it.
# A core dump would hold the node's keys.
LimitCORE=0

RuntimeDirectory=${name}
RuntimeDirectoryMode=0755
StateDirectory=${name}
StateDirectoryMode=0700
# The executable unpacks itself there once, for all instances.
CacheDirectory=agent
CacheDirectoryMode=0755

CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
UMask=0077
ProtectSystem=strict
ReadWritePaths=/etc /run -/proc/sys/net
ProtectHome=yes
PrivateTmp=yes
PrivateMounts=yes
PrivateDevices=yes
BindPaths=-/dev/net/tun
DeviceAllow=/dev/net/tun rw
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
LockPersonality=yes
RemoveIPC=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources

[Install]
WantedBy=multi-user.target
`;
}
