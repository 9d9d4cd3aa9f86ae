/** Web proxies on the loopback, whose targets are all on the loopback too. Needs --allow-net. */
import { connect, createServer } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { utf8 } from "../../base/bytes.ts";
import { socksServer } from "./socks_server.ts";

export interface LoopbackProxy extends AsyncDisposable {
  readonly port: number;
  /** First lines of the requests; "SOCKS host:port" of SOCKS5. */
  readonly asked: readonly string[];
}

/** It knows CONNECT, by TLS where there are certificates. */
export function connectProxy(tls?: { readonly cert: string; readonly key: string }): Promise<LoopbackProxy> {
  const asked: string[] = [];
  const serve = (client: Socket) => {
    client.on("error", () => {});
    client.once("data", (bytes) => {
      const line = new TextDecoder().decode(bytes).split("\r\n")[0];
      const port = /^CONNECT \S+:(\d+) /.exec(line)?.[1];
      if (port === undefined) return client.end(utf8("HTTP/1.1 400 Bad Request\r\n\r\n"));
      asked.push(line);
      const target = connect(Number(port), "127.0.0.1");
      target.once("connect", () => {
        client.write(utf8("HTTP/1.1 200 OK\r\n\r\n"));
        client.pipe(target);
        target.pipe(client);
      });
      target.once("error", () => client.end(utf8("HTTP/1.1 502 Bad Gateway\r\n\r\n")));
      client.on("close", () => target.destroy());
    });
  };
  const server: Server = tls === undefined ? createServer(serve) : createTlsServer({ ...tls }, serve);
  server.on("tlsClientError", () => {});
  return listening(server, asked);
}

/** It knows SOCKS5. @param login "user:password" */
export function socksProxy(login?: string): Promise<LoopbackProxy> {
  const asked: string[] = [];
  const target = (host: string, port: number) => {
    asked.push(`SOCKS ${host}:${port}`);
    return "127.0.0.1";
  };
  return listening(socksServer({ login, target }), asked);
}

async function listening(server: Server, asked: readonly string[]): Promise<LoopbackProxy> {
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => open.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
