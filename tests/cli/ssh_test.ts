// What `ssh` tells the machine's ssh: the nodes' keys, and how to reach them.

import assert from "node:assert/strict";
import { hostFor, knownHosts, sshArguments } from "../../cli/ssh.ts";
import type { PeerStatus, Status } from "../../cli/local_types.ts";

function peer(fields: Partial<PeerStatus>): PeerStatus {
  return { DNSName: "web.t.ts.net.", TailscaleIPs: ["100.64.0.2", "fd7a::2"], ...fields } as PeerStatus;
}

function known(...peers: PeerStatus[]): string {
  return knownHosts({ Peer: Object.fromEntries(peers.map((one, i) => [`nodekey:${i}`, one])) } as unknown as Status);
}

Deno.test("ssh: a node's keys are known by its name and by its addresses", () => {
  const keys = ["ssh-ed25519 AAAA", " ecdsa-sha2-nistp256 BBBB\n"];
  assert.equal(
    known(
      peer({ sshHostKeys: keys }),
      peer({ DNSName: "db.t.ts.net.", TailscaleIPs: null, sshHostKeys: ["ssh-rsa CC"] }),
    ),
    [
      ...["web.t.ts.net.", "100.64.0.2", "fd7a::2"].map((name) => `${name} ssh-ed25519 AAAA\n`),
      ...["web.t.ts.net.", "100.64.0.2", "fd7a::2"].map((name) => `${name} ecdsa-sha2-nistp256 BBBB\n`),
      "db.t.ts.net. ssh-rsa CC\n",
    ].join(""),
  );
  assert.equal(known(peer({})), "");
  assert.equal(knownHosts({ Peer: null } as Status), "");
});

Deno.test("ssh: a key or a name with a line break or a blank adds no line of its own", () => {
  assert.equal(
    known(peer({ sshHostKeys: ["ssh-rsa A\nbank.example ssh-rsa B", "ssh-rsa A\u2028B", "ssh-rsa A\0"] })),
    "",
  );
  assert.equal(known(peer({ DNSName: "x,bank.example", TailscaleIPs: ["* "], sshHostKeys: ["ssh-rsa A"] })), "");
  assert.equal(known(peer({ DNSName: "", TailscaleIPs: [], sshHostKeys: ["ssh-rsa A"] })), "");
});

Deno.test("ssh: only announced keys count, and the way is this program at its own socket", () => {
  const args = sshArguments({
    user: "root",
    host: "web.t.ts.net.",
    more: ["-v", "uptime", "--help"],
    known: "/home/o'b %h/.config/agent/ssh_known_hosts",
    socket: "/run/agent-work/agent.sock",
    own: ["/opt/it's 100%/agent"],
  });
  assert.deepEqual(args.filter((arg) => arg !== "-o"), [
    `UserKnownHostsFile "/home/o'b %%h/.config/agent/ssh_known_hosts"`,
    "GlobalKnownHostsFile /dev/null",
    "VerifyHostKeyDNS no",
    "UpdateHostKeys no",
    "StrictHostKeyChecking yes",
    "CanonicalizeHostname no",
    `ProxyCommand '/opt/it'\\''s 100%%/agent' '--socket=/run/agent-work/agent.sock' 'nc' %h %p`,
    "root@web.t.ts.net.",
    "-v",
    "uptime",
    "--help",
  ]);
  const plain = { user: undefined, host: "web", more: [], known: "/k", socket: "/s", own: ["a"] };
  assert.equal(sshArguments(plain).at(-1), "web");
});

Deno.test("TS-2026-009: ssh is given no name that it or its ProxyCommand's shell would take for something else", () => {
  assert.equal(hostFor(peer({}), true), "web.t.ts.net.");
  assert.equal(hostFor(peer({}), false), "100.64.0.2");
  for (
    const DNSName of ["-oProxyCommand=id", "web.$(id)", "web.`id`", "web;id", "web|id", "web id", "web'", "web\nid", ""]
  ) {
    assert.equal(hostFor(peer({ DNSName }), true), "100.64.0.2", DNSName);
    assert.throws(() => hostFor(peer({ DNSName, TailscaleIPs: ["$(id)"] }), true), /no name and no address/);
  }
});
