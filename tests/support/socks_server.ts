/** A SOCKS5 server for tests, RFC 1928 and 1929 read from the server's side. Needs --allow-net. */
import { Buffer } from "node:buffer";
import { connect, createServer } from "node:net";
import type { Server, Socket } from "node:net";

export interface SocksServerOptions {
  /** "user:password"; nobody has to log in where it is absent. */
  readonly login?: string;
  /** Told of each target let through, "host:port"; gives the host to connect to instead. */
  readonly target: (host: string, port: number) => string;
}

/** Its server, not listening yet. Who brings another login, or speaks no SOCKS5, is cut off. */
export function socksServer({ login, target }: SocksServerOptions): Server {
  return createServer((client) => {
    client.on("error", () => client.destroy());
    serve(client, login, target).catch(() => client.destroy());
  });
}

async function serve(client: Socket, login: string | undefined, target: SocksServerOptions["target"]): Promise<void> {
  const read = reader(client);
  const [version, methods] = await read(2);
  const offered = await read(methods);
  const method = login === undefined ? 0 : 2;
  if (version !== 5 || !offered.includes(method)) return void client.end(Uint8Array.of(5, 0xff));
  client.write(Uint8Array.of(5, method));
  if (login !== undefined) {
    await read(1);
    const user = await read((await read(1))[0]);
    const password = await read((await read(1))[0]);
    const welcome = `${user}:${password}` === login;
    client.write(Uint8Array.of(1, welcome ? 0 : 1));
    if (!welcome) return void client.end();
  }
  const [, , , kind] = await read(4);
  const host = kind === 1
    ? (await read(4)).join(".")
    : kind === 4
    ? (await read(16)).toString("hex").match(/.{4}/g)!.join(":")
    : String(await read((await read(1))[0]));
  const port = (await read(2)).readUInt16BE();
  const server = connect(port, target(host, port));
  server.once("error", () => client.end(Uint8Array.of(5, 5, 0, 1, 0, 0, 0, 0, 0, 0)));
  server.once("connect", () => {
    client.write(Uint8Array.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
    client.pipe(server).pipe(client);
    client.once("close", () => server.destroy());
    server.once("close", () => client.destroy());
  });
}

/** Reads so many bytes from now on. */
function reader(socket: Socket): (length: number) => Promise<Buffer> {
  return async (length) => {
    for (;;) {
      if (length === 0) return Buffer.alloc(0);
      const bytes = socket.read(length) as Buffer | null;
      if (bytes !== null) return bytes;
      if (socket.readableEnded || socket.destroyed) throw new Error("it is gone");
      await new Promise<void>((resolve) => {
        socket.once("readable", resolve);
        socket.once("close", () => resolve());
      });
    }
  };
}
