/** `debug peer-relay-sessions`: whom the relay server here relays for. Source: cmd/tailscale/cli/debug-peer-relay.go. */
import { EXIT_OK, UsageError } from "../exit_codes.ts";
import { print } from "../terminal.ts";
import type { Verb } from "../verb.ts";

/** net/udprelay/status.ClientInfo. */
interface Client {
  /** `ip:port`, "" before it bound. */
  readonly Endpoint: string;
  readonly ShortDisco: string;
  readonly PacketsTx: number;
  readonly BytesTx: number;
}

/** net/udprelay/status.ServerStatus. */
interface ServerStatus {
  readonly UDPPort: number | null;
  readonly Sessions: readonly { readonly VNI: number; readonly Client1: Client; readonly Client2: Client }[] | null;
}

function direction(from: Client, to: Client): string {
  const name = ({ Endpoint, ShortDisco }: Client) => `${Endpoint || "<no handshake>"}(${ShortDisco})`;
  return `  ${name(from)} --> ${name(to)}, Packets: ${from.PacketsTx} Bytes: ${from.BytesTx}\n`;
}

function text({ UDPPort, Sessions }: ServerStatus, program: string): string {
  const unset = `not configured (you can configure the port with '${program} set --relay-server-port=<PORT>')`;
  const sessions = [...Sessions ?? []].sort((a, b) => a.VNI - b.VNI);
  const lines = sessions.map(({ VNI, Client1, Client2 }) =>
    `VNI: ${VNI}\n${direction(Client1, Client2)}${direction(Client2, Client1)}`
  );
  const head = `Server port: ${UDPPort ?? unset}\nSessions count: ${sessions.length}\n`;
  return lines.length === 0 ? head : `${head}\n${lines.join("")}`;
}

export const peerRelaySessions: Verb & { readonly summary: string } = {
  summary: "Sessions of the peer relay server here",
  help: `Usage: {program} debug peer-relay-sessions

Prints the sessions that are relayed through this node.
`,
  async run(args, { client, program }) {
    if (args.length > 0) throw new UsageError(`unexpected argument: ${args[0]}`);
    print(text(await client.json<ServerStatus>("GET", "debug-peer-relay-sessions"), program));
    return EXIT_OK;
  },
};
