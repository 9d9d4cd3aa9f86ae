/** The program on arm64, emulated: that it starts, and that every struct the kernel reads lies there as it does here. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { VERSION } from "../../base/version.ts";
import { privilegedTest } from "../netlab/privileged.ts";
import { ARM64_PROGRAMS, arm64Deno } from "../support/arm64.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Tests of struct layouts: addresses, netlink, messages to and from UDP sockets, the TUN device. */
const LAYOUTS = ["arena", "netlink_codec", "sockaddr", "tun", "udp", "udp_path"].map((name) =>
  `tests/ffi/${name}_test.ts`
);

async function onArm64(...args: readonly string[]): Promise<{ code: number; printed: string }> {
  const [program, ...first] = await arm64Deno();
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args: [...first, ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
  }).output();
  const text = new TextDecoder();
  return { code, printed: text.decode(stdout) + text.decode(stderr) };
}

privilegedTest("arm64, emulated: version prints what it prints everywhere", async () => {
  const { code, printed } = await onArm64("run", "-A", "main.ts", "version");
  assert.equal(code, 0, printed);
  assert.equal(printed.split("\n")[0], VERSION);
}, ...ARM64_PROGRAMS);

privilegedTest("arm64, emulated: the layouts of the kernel's structs pass their tests", async () => {
  const { code, printed } = await onArm64("test", "--no-check", "-A", ...LAYOUTS);
  assert.equal(code, 0, printed);
  const passed = Number(/(\d+) passed \| 0 failed/.exec(printed)?.[1]);
  assert.ok(passed >= 35, `only ${passed} tests ran: ${printed}`);
  console.log(`${passed} tests passed`);
}, ...ARM64_PROGRAMS);
