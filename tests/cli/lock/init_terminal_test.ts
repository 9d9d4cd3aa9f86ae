/** `lock init` on a terminal: no lock before somebody has shown that the secrets are in front of them. */
import assert from "node:assert/strict";
import { stripVTControlCharacters } from "node:util";
import { answer, withLocalApi } from "../fake_local_api.ts";

const MINE = `nlpub:${"cd".repeat(32)}`;
const OTHER = `tlpub:${"ef".repeat(32)}`;
const MAIN = new URL("../../../main.ts", import.meta.url).pathname;

/** Runs `agent lock init` behind a terminal, and types what `reply` makes of what was shown. */
async function init(
  args: readonly string[],
  reply: (shown: string) => string | undefined,
): Promise<{ shown: string; code: number; asked: string[] }> {
  let shown = "";
  let code = -1;
  let asked: string[] = [];
  await withLocalApi({
    "GET tka/status": () => answer({ Enabled: false, PublicKey: MINE, NodeKey: null }),
    "POST tka/init": () => answer({}),
  }, async (socket, seen) => {
    const command = [Deno.execPath(), "run", "--no-lock", "-A", MAIN, "--socket", socket, "lock", "init", ...args];
    const child = new Deno.Command("script", {
      args: ["--quiet", "--return", "--command", command.join(" "), "/dev/null"],
      env: { NO_COLOR: "1" },
      stdin: "piped",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    const keyboard = child.stdin.getWriter();
    const decoder = new TextDecoder();
    const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
    let answered = 0;
    for await (const chunk of child.stdout) {
      shown += decoder.decode(chunk, { stream: true });
      // A question ends in a space and waits; each is answered once.
      const open = stripVTControlCharacters(shown.slice(answered));
      if (!/(first:|\[y\/N\])\s*$/.test(open)) continue;
      answered = shown.length;
      const typed = reply(open);
      if (typed !== undefined) await keyboard.write(new TextEncoder().encode(`${typed}\n`));
    }
    code = (await child.status).code;
    clearTimeout(timer);
    await keyboard.close().catch(() => {});
    asked = seen.map(({ method, path }) => `${method} ${path}`);
  });
  return { shown, code, asked };
}

const firstSecret = (shown: string): string | undefined => /disablement-secret:([0-9A-F]{64})/.exec(shown)?.[1];
const TWO = ["--confirm", "--gen-disablements", "2", MINE.replace("nlpub:", "tlpub:")];

const missing = !existsOnPath("script");
if (missing && Deno.env.get("CI") === "true") throw new Error("Cannot skip under CI: script is not installed");

Deno.test({
  name: "lock init on a terminal: a secret is typed again before there is a lock; else nothing is changed",
  ignore: missing,
  fn: async () => {
    let secret = "";
    const right = await init([...TWO, OTHER], (shown) => {
      secret = firstSecret(shown) ?? secret;
      // Once wrong, then right.
      return shown.includes("not how the first one ends") ? secret.slice(-6).toLowerCase() : "000000";
    });
    assert.equal(right.code, 0, right.shown);
    assert.deepEqual(right.asked, ["GET tka/status", "POST tka/init"]);
    assert.equal(right.shown.match(/disablement-secret:/g)?.length, 2, "they are shown once");
    assert.match(right.shown, /Initialization complete\./);

    const wrong = await init([...TWO, OTHER], () => "nothing");
    assert.equal(wrong.code, 1, wrong.shown);
    assert.deepEqual(wrong.asked, ["GET tka/status"]);
    assert.match(wrong.shown, /aborted, no changes made: the secrets above are worth nothing/);

    const alone = await init(TWO, () => "n");
    assert.equal(alone.code, 1);
    assert.match(
      alone.shown,
      /Only this node will be able to sign[^]*--accept-risk=one-signer[^]*aborted, no changes made/,
    );
    assert.equal(firstSecret(alone.shown), undefined);

    const told = await init([...TWO, "--accept-risk=one-signer,unwritten-secret"], () => undefined);
    assert.equal(told.code, 0, told.shown);
    assert.match(told.shown, /Initialization complete\./);
  },
});

function existsOnPath(program: string): boolean {
  return (Deno.env.get("PATH") ?? "").split(":").some((dir) => {
    try {
      return Deno.statSync(`${dir}/${program}`).isFile;
    } catch {
      return false;
    }
  });
}
