import assert from "node:assert/strict";
import { bashCompletion } from "../../cli/completion/bash.ts";
import { flagsOf } from "../../cli/completion/commands.ts";
import { fishCompletion } from "../../cli/completion/fish.ts";
import { zshCompletion } from "../../cli/completion/zsh.ts";
import { completedCommands } from "../../cli/completion.ts";
import { run as program } from "./fake_local_api.ts";
import { programMissing } from "../netlab/privileged.ts";

/** A test that needs a shell; with CI=true it may not be missing. */
function shellTest(name: string, shell: string, body: () => Promise<void>): void {
  const missing = programMissing(shell);
  const ignore = missing !== undefined && Deno.env.get("CI") !== "true";
  Deno.test({ name: ignore ? `${name} [skipped: ${missing}]` : name, ignore, fn: body });
}

async function run(...argv: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(argv[0], { args: argv.slice(1) }).output();
  assert.equal(code, 0, new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout).trim();
}

Deno.test("flagsOf() reads the flags of a help text, with values and with help on the next line", () => {
  const help = `Usage: x\n\n  --name value   what it is (default 1)\n  --much-too-long-for-its-column value
                 said below\n  --yes          without\n  -1             once\n  --json[=1]     version\n  --yes          again\n`;
  assert.deepEqual(flagsOf(help), [
    { name: "name", help: "what it is (default 1)", takesValue: true },
    { name: "much-too-long-for-its-column", help: "said below", takesValue: true },
    { name: "yes", help: "without", takesValue: false },
    { name: "1", help: "once", takesValue: false },
    { name: "json", help: "version", takesValue: false },
  ]);
});

Deno.test("completedCommands() has every command with the flags it lists; tailscale has none of ours", async () => {
  const commands = await completedCommands("agent");
  const up = commands.find(({ name }) => name === "up")!;
  assert.ok(up.flags.some(({ name, takesValue }) => name === "auth-key" && takesValue));
  const flagOf = (name: string, flag: string) =>
    assert.ok(commands.find((one) => one.name === name)?.flags.some((one) => one.name === flag), `${name} --${flag}`);
  flagOf("daemon", "cleanup");
  flagOf("run", "login-server");
  flagOf("coordinator", "approve-routes");
  flagOf("coordinator", "reusable");
  assert.deepEqual(commands.find(({ name }) => name === "coordinator")?.commands, ["keys", "nodes", "routes"]);
  assert.ok(
    !(await completedCommands("tailscale")).some(({ name }) => name === "install-service" || name === "daemon"),
  );
});

Deno.test("completion prints a script, without the right to load native code", async () => {
  for (const shell of ["bash", "fish", "zsh"]) {
    const { code, out, err } = await program(["completion", shell]);
    assert.deepEqual([code, err], [0, ""]);
    assert.match(out, /approve-routes/);
  }
});

shellTest("bash completes commands and their flags", "bash", async () => {
  const script = bashCompletion("agent", await completedCommands("agent"));
  const complete = (...words: string[]) =>
    run(
      "bash",
      "-c",
      `${script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _agent; echo "\${COMPREPLY[@]}"`,
      "bash",
      ...words,
    );
  assert.equal(await complete("agent", "sta"), "status");
  assert.equal(await complete("agent", "--socket", "/x", "netc"), "netcheck");
  assert.equal(await complete("agent", "--instance", "work", "netc"), "netcheck");
  assert.equal(await complete("agent", "--inst"), "--instance");
  assert.equal(await complete("agent", "up", "--auth"), "--auth-key");
  assert.equal(await complete("agent", "lock", "keyg"), "keygen");
  assert.equal(await complete("agent", "lock", "sign", "keyg"), "");
  assert.equal(await complete("agent", "--socket=/x", "lock", "--gen-disablements"), "--gen-disablements");
});

shellTest("fish completes commands and their flags", "fish", async () => {
  const dir = await Deno.makeTempDir();
  await Deno.writeTextFile(`${dir}/agent.fish`, fishCompletion("agent", await completedCommands("agent")));
  const complete = (line: string) => run("fish", "-c", `source ${dir}/agent.fish; complete -C '${line}'`);
  assert.match(await complete("agent netc"), /^netcheck\tAnalyse/);
  assert.match(await complete("agent up --auth"), /^--auth-key\t/);
  assert.match(await complete("agent --inst"), /^--instance\t/);
  assert.equal(await complete("agent coordinator ro"), "routes");
  await Deno.remove(dir, { recursive: true });
});

shellTest("zsh takes the script, whatever signs the help texts have", "zsh", async () => {
  const dir = await Deno.makeTempDir();
  const nasty = {
    name: "nasty",
    summary: "it's [a] \\ c:d",
    flags: [{ name: "f", help: "'[x]:'", takesValue: true }],
    commands: ["a", "b-c"],
  };
  await Deno.writeTextFile(`${dir}/_agent`, zshCompletion("agent", [...await completedCommands("agent"), nasty]));
  await run("zsh", "-n", `${dir}/_agent`);
  const listed = await run(
    "zsh",
    "-f",
    "-c",
    `autoload -U compinit; compinit -u -D; source ${dir}/_agent; whence -w _agent`,
  );
  assert.equal(listed, "_agent: function");
  await Deno.remove(dir, { recursive: true });
});
