/** What may cut off the person who types it is asked first. Source: cmd/tailscale/cli/risks.go, ssh.go. */
import { isTailscaleIp, parseIp } from "../base/ip.ts";
import { CliError } from "./exit_codes.ts";
import { print } from "./terminal.ts";

/** The flag of every verb that has a risk. */
export const ACCEPT_RISK_FLAG = {
  type: "string",
  value: "risk",
  help: "do not ask before: lose-ssh, or all",
} as const;

/** Risks there are. */
export type Risk = "lose-ssh" | "one-signer";

/** Whether the person sits at the other end of an SSH connection from a Tailscale address. */
export function isSshOverTailscale(sshClient: string | undefined = Deno.env.get("SSH_CLIENT")): boolean {
  const ip = parseIp(sshClient?.split(" ")[0] ?? "");
  return ip !== undefined && isTailscaleIp(ip);
}

/** Returns when the risk is accepted, by flag or by answer. @throws CliError otherwise, and when nobody can answer. */
export function askRisk(risk: Risk, message: string, accepted: string): void {
  if (accepted.split(",").some((name) => name === risk || name === "all")) return;
  print(`${message}\nTo skip this warning, use --accept-risk=${risk}\n`);
  if (Deno.stdin.isTerminal() && confirm("Continue?")) return;
  throw new CliError("aborted, no changes made");
}
