/** The Debian package. Source: deb(5), deb-control(5), Debian Policy 6 (maintainer scripts). */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { arOf, tarOf } from "./archive.ts";
import { filesBelow, putFile } from "./tree.ts";
import type { Revision } from "./stage.ts";

const ARCHITECTURE: Readonly<Record<string, string>> = { x86_64: "amd64", aarch64: "arm64" };

const POSTINST = `#!/bin/sh
set -e
case $1 in configure | abort-upgrade | abort-deconfigure | abort-remove) ;; *) exit 0 ;; esac
deb-systemd-helper unmask agent.service >/dev/null || true
if deb-systemd-helper --quiet was-enabled agent.service; then
  deb-systemd-helper enable agent.service >/dev/null || true
else
  deb-systemd-helper update-state agent.service >/dev/null || true
fi
# Unpacks itself now, so that the restart is short. What is wrong is said, and no reason to leave the package half done.
/usr/bin/agent version >/dev/null || true
if [ -d /run/systemd/system ]; then
  systemctl --system daemon-reload >/dev/null || true
  if [ -n "$2" ]; then action=restart; else action=start; fi
  deb-systemd-invoke $action agent.service >/dev/null || true
  # Of several nodes those that run: one that was stopped stays so.
  if [ -n "$2" ]; then deb-systemd-invoke try-restart 'agent@*.service' >/dev/null || true; fi
fi
`;

const PRERM = `#!/bin/sh
set -e
# At an upgrade the old version runs until the new one is in place.
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  deb-systemd-invoke stop agent.service 'agent@*.service' >/dev/null || true
fi
`;

const POSTRM = `#!/bin/sh
set -e
if [ -d /run/systemd/system ]; then systemctl --system daemon-reload >/dev/null || true; fi
case $1 in
remove) rm -rf /var/cache/agent ;;
purge)
  rm -rf /var/cache/agent /var/lib/agent
  # Directories of instances, and of nobody else.
  for state in /var/lib/agent-*/agent.state; do if [ -f "$state" ]; then rm -rf "\${state%/agent.state}"; fi; done
  if [ -x /usr/bin/deb-systemd-helper ]; then
    deb-systemd-helper purge agent.service >/dev/null || true
    deb-systemd-helper unmask agent.service >/dev/null || true
  fi
  ;;
esac
`;

/** Makes the package of the files below `tree`. @param work An empty directory. @param arch As `uname -m` says it. */
export async function debOf(tree: string, work: string, arch: string, revision: Revision): Promise<Uint8Array> {
  const files = await filesBelow(tree);
  let size = 0;
  const sums: string[] = [];
  for (const path of files) {
    const bytes = await Deno.readFile(`${tree}/${path}`);
    size += bytes.length;
    sums.push(`${createHash("md5").update(bytes).digest("hex")}  ${path}\n`);
  }
  const control = `Package: agent
Version: ${revision.version}
Architecture: ${ARCHITECTURE[arch] ?? arch}
Maintainer: The agent project <noreply@example.invalid>
Installed-Size: ${Math.ceil(size / 1024)}
Depends: libc6 (>= 2.27), init-system-helpers
Recommends: ca-certificates, nftables
Suggests: openssh-client
Section: net
Priority: optional
Description: node of a tailnet in one program
 A Tailscale-compatible node: daemon, command line, and a coordinator with
 relay for people who run their own network.
`;
  await putFile(work, "control", control);
  await putFile(work, "md5sums", sums.filter((line) => !line.includes("  etc/")).join(""));
  await putFile(
    work,
    "conffiles",
    files.filter((path) => path.startsWith("etc/")).map((path) => `/${path}\n`).join(""),
  );
  for (const [name, text] of [["postinst", POSTINST], ["prerm", PRERM], ["postrm", POSTRM]] as const) {
    await putFile(work, name, text, 0o755);
  }
  return arOf([
    { name: "debian-binary", bytes: new TextEncoder().encode("2.0\n") },
    { name: "control.tar.gz", bytes: gzipSync(await tarOf(work, revision.date), { level: 9 }) },
    // Not compressed: the executable is.
    { name: "data.tar", bytes: await tarOf(tree, revision.date) },
  ], revision.date);
}
