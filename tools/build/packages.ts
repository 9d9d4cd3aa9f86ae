/** What comes with the executable, and the two packages of all of it: a Debian package and a tarball. */
import { gzipSync } from "node:zlib";
import { schemaText } from "../../daemon/config/schema.ts";
import { SERVICE_PORT, unitFile } from "../../cli/service/unit_file.ts";
import { tarOf } from "./archive.ts";
import { debOf } from "./deb.ts";
import { manPage } from "./man_page.ts";
import { run } from "./run.ts";
import type { Revision } from "./stage.ts";
import { putFile } from "./tree.ts";

/** What packages are made of. */
export interface PackageOptions {
  /** The staged sources. */
  readonly stage: string;
  readonly executable: Uint8Array;
  /** As `uname -m` says it. */
  readonly arch: string;
  readonly revision: Revision;
}

/** The packages' bytes by their file names. */
export async function packages(options: PackageOptions): Promise<Map<string, Uint8Array>> {
  const { stage, executable, arch, revision } = options;
  const agent = (...args: string[]) => run([Deno.execPath(), "run", "-A", "main.ts", ...args], stage);
  const overview = await agent("--help");
  const names = [...overview.matchAll(/^ {2}([a-z][a-z-]*) {2,}\S/gm)].map(([, name]) => name);
  const help = await Promise.all(names.map(async (name) => ({ name, help: await agent(name, "--help") })));
  const man = manPage(overview, help, revision);
  const shells = ["bash", "zsh", "fish"] as const;
  const [bash, zsh, fish] = await Promise.all(shells.map((shell) => agent("completion", shell)));
  const license = await Deno.readFile(new URL("../../LICENSE", import.meta.url));
  const readme = await Deno.readFile(new URL("../../README.md", import.meta.url));
  const unit = unitFile({ exec: "/usr/bin/agent" });
  const template = unitFile({ exec: "/usr/bin/agent", instance: "%i" });
  const defaults =
    `# UDP port for peers; 0 picks one.\nPORT=${SERVICE_PORT}\n# More flags of 'agent daemon'.\nFLAGS=""\n`;

  const tree = `${stage}/deb-files`;
  await putFile(tree, "usr/bin/agent", executable, 0o755);
  await putFile(tree, "etc/default/agent", defaults);
  await putFile(tree, "usr/lib/systemd/system/agent.service", unit);
  await putFile(tree, "usr/lib/systemd/system/agent@.service", template);
  await putFile(tree, "usr/share/agent/agent.schema.json", schemaText());
  await putFile(tree, "usr/share/bash-completion/completions/agent", bash);
  await putFile(tree, "usr/share/zsh/vendor-completions/_agent", zsh);
  await putFile(tree, "usr/share/fish/vendor_completions.d/agent.fish", fish);
  await putFile(tree, "usr/share/man/man1/agent.1.gz", gzipSync(new TextEncoder().encode(man), { level: 9 }));
  await putFile(tree, "usr/share/doc/agent/copyright", license);

  const name = `agent-${revision.version}`;
  const folder = `${stage}/tarball/${name}`;
  await putFile(folder, "agent", executable, 0o755);
  await putFile(folder, "agent.service", unit);
  await putFile(folder, "agent@.service", template);
  await putFile(folder, "agent.schema.json", schemaText());
  await putFile(folder, "agent.default", defaults);
  await putFile(folder, "agent.1", man);
  await putFile(folder, "completions/agent.bash", bash);
  await putFile(folder, "completions/_agent", zsh);
  await putFile(folder, "completions/agent.fish", fish);
  await putFile(folder, "LICENSE", license);
  await putFile(folder, "README.md", readme);

  return new Map([
    [`${name}.deb`, await debOf(tree, `${stage}/deb-control`, arch, revision)],
    // The executable is compressed already.
    [`${name}.tar.gz`, gzipSync(await tarOf(`${stage}/tarball`, revision.date), { level: 1 })],
  ]);
}
