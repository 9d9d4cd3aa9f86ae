/** What an operator types to start a daemon that does not answer: of systemd where it has a unit for the node. */
import type { Program } from "./program.ts";
import { packagedUnit, unitName, unitPath } from "./service/systemctl.ts";
import { shellWord } from "./shell_word.ts";

/** Sockets where no flag names another. */
export const SOCKETS: Readonly<Record<Program, string>> = {
  agent: "/run/agent/agent.sock",
  tailscale: "/var/run/tailscale/tailscaled.sock",
};

/** Where the daemon of a node listens. @param instance undefined for the one node */
export function socketOf(program: Program, instance: string | undefined): string {
  return instance === undefined ? SOCKETS[program] : `/run/agent-${instance}/agent.sock`;
}

/** @param root another root directory, for tests */
export function startCommand(socket: string, program: Program, instance: string | undefined, root = ""): string {
  if (program === "tailscale") return "tailscaled";
  const usual = socket === socketOf(program, instance);
  const service = [`${root}${unitPath(instance)}`, packagedUnit(instance, root)].some((path) => isFile(path));
  if (usual && service) return `systemctl start ${unitName(instance).replace(".service", "")}`;
  const node = instance === undefined ? "" : ` --instance ${instance}`;
  return `agent${usual ? "" : ` --socket ${shellWord(socket)}`}${node} daemon`;
}

function isFile(path: string | undefined): boolean {
  try {
    return path !== undefined && Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
