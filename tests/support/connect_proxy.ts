/** A web proxy on the loopback that knows CONNECT. Needs --allow-net. */
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { utf8 } from "../../base/bytes.ts";

export interface ConnectProxy extends AsyncDisposable {
  readonly port: number;
  /** First lines of the requests. */
  readonly asked: readonly string[];
}

export async function connectProxy(): Promise<ConnectProxy> {
  const asked: string[] = [];
  const open = new Set<Socket>();
  const server = createServer((client) => {
    open.add(client);
    client.on("error", () => {});
    client.once("data", (bytes) => {
      const line = new TextDecoder().decode(bytes).split("\r\n")[0];
      asked.push(line);
      const [host, port] = line.split(" ")[1].split(":");
      const target = connect(Number(port), host);
      open.add(target);
      target.once("connect", () => {
        client.write(utf8("HTTP/1.1 200 OK\r\n\r\n"));
        client.pipe(target);
        target.pipe(client);
      });
      target.once("error", () => client.end(utf8("HTTP/1.1 502 Bad Gateway\r\n\r\n")));
      client.on("close", () => target.destroy());
    });
  });
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
