/** The manual page agent(1), from the help texts that the program itself prints. Source: man(7). */
import { dateText } from "./stage.ts";
import type { Revision } from "./stage.ts";

/** A command with its whole help text. */
export interface DocumentedCommand {
  readonly name: string;
  readonly help: string;
}

/** Text as roff takes it literally: no line is a request, and a dash is a dash to be copied. */
function literal(text: string): string {
  return text.replaceAll("\\", "\\e").replaceAll("-", "\\-").replaceAll(/^([.'])/gm, "\\&$1");
}

/** The page. @param overview What `agent --help` prints. */
export function manPage(overview: string, commands: readonly DocumentedCommand[], revision: Revision): string {
  const verbatim = (text: string) => `.nf\n${literal(text.trim())}\n.fi\n`;
  const sections = commands.map(({ name, help }) => `.SS "agent ${literal(name)}"\n${verbatim(help)}`);
  return `.TH AGENT 1 "${dateText(revision).slice(0, 10)}" "agent ${revision.version}" "User Commands"
.SH NAME
agent \\- a node of your tailnet, its command line, and a coordinator
.SH SYNOPSIS
.B agent
.RB [ \\-\\-socket
.IR PATH " | \\fB\\-\\-instance\\fR " NAME " ]"
.I COMMAND
.RI [ flags ]
.SH DESCRIPTION
${verbatim(overview)}.SH COMMANDS
${sections.join("")}.SH FILES
.TP
.I /etc/default/agent
PORT= and FLAGS= of the service; for agent@NAME it is agent-NAME
.TP
.I /etc/agent/agent.json
the configuration file of the service, where there is one; for agent@NAME it is NAME.json
.TP
.I /run/agent/agent.sock
the daemon's socket; of an instance below /run/agent\\-NAME/
.TP
.I /var/lib/agent/
the node's identity and settings; whoever has them is this node; of an instance /var/lib/agent\\-NAME/
.TP
.I /var/cache/agent/
where the executable unpacks itself; may be removed while nothing runs
`;
}
