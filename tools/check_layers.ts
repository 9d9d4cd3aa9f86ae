/**
 * Checks that every import goes where the layers of ARCHITECTURE.md allow, and says why where it does not.
 *
 * Run: deno run --allow-read tools/check_layers.ts
 */

/** One folder's rule: what it may import besides itself, and the reason shown to whoever breaks it. */
interface Rule {
  readonly folder: string;
  readonly may: readonly string[];
  readonly why: string;
}

/** First match wins, so files and sub-folders stand before the folders that hold them. */
const RULES: readonly Rule[] = [
  { folder: "main.ts", may: ["cli", "daemon"], why: "main picks a verb and imports it; logic belongs to the verb" },
  {
    folder: "base",
    may: [],
    why: "base is shared by every room, so it may know none of them",
  },
  {
    folder: "tka",
    may: ["base"],
    why: "the lock is pure: it must be provable without a network, a disk or a clock",
  },
  { folder: "derp", may: ["base"], why: "the relay serves agents and coordinators alike and knows neither" },
  {
    folder: "control/wire",
    may: ["base", "tka", "derp"],
    why: "wire types are shared by client and server, so they may know neither",
  },
  {
    folder: "control/client",
    may: ["control/wire", "tka", "base", "derp"],
    why: "the control client hands out a netmap; what becomes of it is the daemon's business",
  },
  {
    folder: "control/server",
    may: ["control/wire", "tka", "derp", "base"],
    why: "the coordinator runs without a node beside it",
  },
  {
    folder: "engine/dataplane/kernels",
    may: [],
    why: "the kernels are loops over bytes; ffi uses them too, so they may know nothing",
  },
  {
    folder: "engine",
    may: ["base", "derp"],
    why: "the engine never sees a netmap and never touches the system: it is configured, and works through ports",
  },
  {
    folder: "ffi",
    may: ["base", "engine/ports.ts", "engine/dataplane/kernels"],
    why: "ffi implements the engine's ports, the crypto by the kernels too; it must not depend on who uses them",
  },
  {
    folder: "daemon",
    may: ["base", "tka", "derp", "control", "engine", "ffi"],
    why: "the daemon is the composition root of the node; the command line talks to it over the LocalAPI",
  },
  {
    folder: "cli/daemon.ts",
    may: ["base", "daemon", "cli"],
    why: "only this verb starts the daemon, lazily, so that other verbs stay fast",
  },
  {
    folder: "cli/run_node.ts",
    may: ["base", "daemon", "cli"],
    why: "the daemon and up in one process: it starts the daemon, lazily, as daemon.ts does",
  },
  {
    folder: "cli/config",
    may: ["base", "daemon/config", "cli"],
    why: "a configuration is read by the daemon's own rules, and nothing else of the daemon is needed for it",
  },
  {
    folder: "cli/migrate.ts",
    may: ["base", "daemon", "cli"],
    why: "only this verb works on the daemon's files, while no daemon runs",
  },
  {
    folder: "cli/coordinator",
    may: ["base", "control", "derp", "cli", "ffi", "daemon"],
    why: "only this verb starts the coordinator, lazily, so that other verbs stay fast",
  },
  {
    folder: "cli",
    may: ["base", "tka", "daemon/localapi/types.ts"],
    why: "a verb talks to the daemon over the LocalAPI and starts in milliseconds: it loads no engine",
  },
  { folder: "tools", may: ["*"], why: "" },
  { folder: "tests", may: ["*"], why: "" },
];

/** Files that may open native libraries. */
const DLOPEN = /^(ffi|tests|tools)\//;

async function* sources(root: string, folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(`${root}/${folder}`)) {
    const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
    if (entry.name.startsWith(".") || entry.name === "dist" || entry.name === "node_modules") continue;
    if (entry.isDirectory) yield* sources(root, path);
    else if (entry.name.endsWith(".ts")) yield path;
  }
}

function inside(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`) || path.startsWith(`${folder}.`);
}

function resolve(from: string, specifier: string): string {
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

/** Every broken rule of the checkout at `root`, as one line each. */
export async function brokenRules(root = "."): Promise<string[]> {
  const broken: string[] = [];
  for await (const path of sources(root, "")) {
    const rule = RULES.find(({ folder }) => inside(path, folder));
    if (rule === undefined) {
      broken.push(`${path}: no layer; put it into one of the folders ARCHITECTURE.md names`);
      continue;
    }
    const text = await Deno.readTextFile(`${root}/${path}`);
    if (!DLOPEN.test(path) && /\bDeno\s*\.\s*dlopen\b/.test(text)) {
      broken.push(`${path}: calls Deno.dlopen; only ffi/ may, so that there is one place to audit`);
    }
    for (const [, specifier] of text.matchAll(/(?:\bfrom\s+|\bimport\s*\(?\s*|new URL\(\s*)"(\.[^"]+)"/g)) {
      const target = resolve(path, specifier);
      const own = rule.folder.endsWith(".ts") ? rule.folder : rule.folder;
      if (rule.may.includes("*") || inside(target, own)) continue;
      if (rule.may.some((allowed) => inside(target, allowed))) continue;
      broken.push(`${path}: imports ${target}; ${rule.why}`);
    }
  }
  return broken.sort();
}

if (import.meta.main) {
  const broken = await brokenRules();
  for (const line of broken) console.error(line);
  console.log(broken.length === 0 ? "layers: every import goes where it may" : `layers: ${broken.length} broken`);
  Deno.exit(broken.length === 0 ? 0 : 1);
}
