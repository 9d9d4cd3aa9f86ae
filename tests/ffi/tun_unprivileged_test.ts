/** Making a TUN device without the right to, in a process of its own. */
import assert from "node:assert/strict";

Deno.test("createTun() without privileges says what to do", async () => {
  // In a process of its own, since capabilities that are dropped do not come back.
  const script = `
    import { createArena } from "${new URL("../../ffi/arena.ts", import.meta.url)}";
    import { createTun } from "${new URL("../../ffi/tun.ts", import.meta.url)}";
    try {
      createTun({ arena: createArena(1 << 20), name: "agent0" });
    } catch (error) {
      console.log(error.message);
    }`;
  const deno = [Deno.execPath(), "eval", script];
  const argv = Deno.uid() === 0 ? ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--", ...deno] : deno;
  const { stdout } = await new Deno.Command(argv[0], { args: argv.slice(1), stderr: "inherit" }).output();
  assert.match(new TextDecoder().decode(stdout), /modprobe tun|run as root/);
});
