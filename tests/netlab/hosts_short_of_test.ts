// The agent on hosts that are short of something: room for connections, libcrypto.

import assert from "node:assert/strict";
import { type AgentNode, until } from "../interop/support/agent.ts";
import { groundTest, reaches } from "./tailnet_ground.ts";

const MAIN = new URL("../../main.ts", import.meta.url).pathname;

function healthLine(agent: AgentNode, pattern: RegExp): Promise<string> {
  return until(`health says ${pattern}`, 60_000, async () => {
    return (await agent.status()).Health?.find((text: string) => pattern.test(text));
  });
}

/**
 * One flow to each port of six addresses of the loopback, again and again: the kernel counts connections for each
 * namespace, and against one limit for all, which is left as it is.
 */
const FILL = `
use Socket;
socket(my $s, PF_INET, SOCK_DGRAM, 0) or die;
for (;;) {
  for my $i (1 .. 6) { for my $port (1 .. 65535) { send($s, "", 0, sockaddr_in($port, inet_aton("127.0.1.$i"))); } }
  select(undef, undef, undef, 3);
}`;

groundTest(
  "hosts as they are: a full connection tracking table is said in one line, and the tunnel goes on",
  async (ground) => {
    await ground.startCoordinator();
    const [alpha, beta] = [ground.machine("alpha"), ground.machine("beta")];
    const a = await ground.joined(alpha, "alpha");
    const b = await ground.joined(beta, "beta");
    const [to] = await b.ips();
    await reaches(alpha, to);
    const limit = Number(await Deno.readTextFile("/proc/sys/net/netfilter/nf_conntrack_max"));
    assert.ok(limit < 6 * 65535, `${limit} connections are more than this test makes`);
    const filler = alpha.spawn(["perl", "-e", FILL], { stdout: "null", stderr: "inherit" });
    try {
      const line = await healthLine(a, /connection tracking table is full/);
      assert.match(line, /\(\d+ of \d+\): the kernel drops new connections; raise net\.netfilter\.nf_conntrack_max/);
      for (let i = 0; i < 5; i++) await reaches(alpha, to, 5_000);
    } finally {
      filler.kill("SIGKILL");
      await filler.status;
    }
    await alpha.must(["conntrack", "--flush"]);
    await until("health is well again", 30_000, async () => {
      return !(await a.status()).Health?.some((text: string) => text.includes("tracking table"));
    });
  },
  ["perl", "conntrack"],
);

groundTest(
  "hosts as they are: without libcrypto the node works, and says in one line what is missing",
  async (ground) => {
    await ground.startCoordinator();
    const [alpha, beta] = [ground.machine("alpha"), ground.machine("beta")];
    // Something that is no library in its place is as good as nothing there.
    const hide = 'for path in /usr/lib/*/libcrypto.so.*; do mount --bind /dev/null "$path"; done; exec "$@"';
    const program = ["unshare", "-m", "sh", "-c", hide, "sh", Deno.execPath(), "run", "-A", "--no-lock", MAIN];
    const a = await ground.agent(alpha, "alpha", { program });
    await ground.join(a);
    const b = await ground.joined(beta, "beta");
    await reaches(alpha, (await b.ips())[0]);
    await reaches(beta, (await a.ips())[0]);
    const line = await healthLine(a, /ChaCha20-Poly1305/);
    assert.match(line, /A slower one is in use; install OpenSSL 3 \(libcrypto\.so\.3\)/);
    assert.ok(!line.includes("\n"));
  },
);
