/**
 * Names of nodes of which there are several on one machine (`--instance NAME`). With "agent-" in front the TUN device's name
 * has the kernel's 15 bytes, and the longest chain iptables' 28. `agent` is none: its file would be the one node's,
 * /etc/agent/agent.json.
 */

/** One of them, as the source of a regular expression that a JSON Schema can have too. */
export const INSTANCE_NAME = "(?!agent$)[a-z0-9]([a-z0-9-]{0,7}[a-z0-9])?";

/** What is wanted, for errors. */
export const INSTANCE_WANTED = "1 to 9 small letters, digits and inner hyphens, and not agent";

const WHOLE = new RegExp(`^${INSTANCE_NAME}$`);

/** Whether a node can be called that. */
export function isInstanceName(text: string): boolean {
  return WHOLE.test(text);
}
