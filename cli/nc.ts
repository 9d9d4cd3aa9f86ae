/** `nc`: a TCP connection on standard input and output, made by the daemon. Source: cmd/tailscale/cli/nc.go. */
import { reasonOf } from "../base/reason.ts";
import { CliError, EXIT_OK, UsageError } from "./exit_codes.ts";
import type { LocalClient } from "./local_client.ts";
import type { Status } from "./local_types.ts";
import { notRunningText } from "./status.ts";
import type { Verb } from "./verb.ts";

const PROTOCOL = "ts-dial";

/** A connection, and what came on it already. */
interface Dialed {
  readonly connection: Deno.UnixConn | Deno.TcpConn;
  readonly early: Uint8Array;
}

/** By the daemon; by ourselves where that says so, for what is not of the tailnet. @throws CliError */
async function dial(client: LocalClient, host: string, port: string): Promise<Dialed> {
  const answer = await client.upgrade("dial", PROTOCOL, {
    "Dial-Host": host,
    "Dial-Port": port,
    "Dial-Network": "tcp",
  });
  if (answer.kind === "upgraded") return answer;
  const address = answer.headers.get("dial-addr") ?? "";
  const [, hostname, own] = /^\[?([^\]]+)\]?:(\d+)$/.exec(address) ?? [];
  if (hostname === undefined) throw new CliError("the daemon says to connect, and not where to");
  try {
    return { connection: await Deno.connect({ hostname, port: Number(own) }), early: new Uint8Array() };
  } catch (cause) {
    throw new CliError(`cannot connect to ${address}: ${reasonOf(cause)}`);
  }
}

async function writeAll(to: { write(bytes: Uint8Array): Promise<number> }, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await to.write(bytes.subarray(at));
}

/** Standard input to the connection, and its end too: the other side may still have something to say. */
async function send(connection: Dialed["connection"]): Promise<void> {
  const chunk = new Uint8Array(64 << 10);
  try {
    for (let read = await Deno.stdin.read(chunk); read !== null; read = await Deno.stdin.read(chunk)) {
      await writeAll(connection, chunk.subarray(0, read));
    }
    await connection.closeWrite();
  } catch {
    // The other side takes no more; what it says is still read.
  }
}

export const nc: Verb = {
  help: `Usage: {program} nc HOST PORT

Connects to a TCP port of a node, by its name or address, and joins standard input and output to it. Names are
MagicDNS's, whole or short, with --accept-dns=false too.
`,
  async run(args, { client }) {
    const [host, port] = args;
    if (args.length !== 2) throw new UsageError("nc needs a host and a port");
    if (!/^[0-9]{1,5}$/.test(port) || Number(port) > 65_535) throw new UsageError(`invalid port number "${port}"`);
    if (!/^[\x21-\x7e]+$/.test(host)) throw new UsageError(`"${host}" is no name and no address`);
    const problem = notRunningText(await client.json<Status>("GET", "status?peers=false"));
    if (problem !== undefined) throw new CliError(problem);
    const { connection, early } = await dial(client, host, port);
    void send(connection);
    const chunk = new Uint8Array(64 << 10);
    try {
      await writeAll(Deno.stdout, early);
      for (let read = await connection.read(chunk); read !== null; read = await connection.read(chunk)) {
        await writeAll(Deno.stdout, chunk.subarray(0, read));
      }
    } catch (cause) {
      // Nobody reads any more.
      if (!(cause instanceof Deno.errors.BrokenPipe)) {
        throw new CliError(`the connection broke: ${reasonOf(cause)}`);
      }
    } finally {
      connection.close();
    }
    return EXIT_OK;
  },
};
