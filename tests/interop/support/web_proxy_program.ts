/**
 * Kinds of web proxy, as a process for a namespace.
 *
 *   reverse LISTEN BACKEND CERT KEY MODE   TLS in front of a server; MODE "any" passes every upgrade, "websocket" takes
 *                                          all others off, as many products do
 *   forward LISTEN LOGIN [CERT KEY]        CONNECT for those who bring LOGIN ("user:password", "" for anybody), by TLS
 *                                          where there is a certificate
 *   socks LISTEN LOGIN                     SOCKS5, likewise
 *
 * The last two know all names: they are the host of LISTEN. Prints "serving", then a line for each request: of the reverse
 * proxy "SNI REQUEST-LINE", of the others "CONNECT target" and "SOCKS target".
 */
import { Buffer } from "node:buffer";
import net from "node:net";
import type { Socket } from "node:net";
import tls from "node:tls";
import type { TLSSocket } from "node:tls";
import { socksServer } from "../../support/socks_server.ts";

const [kind, listen, ...rest] = Deno.args;

function address(text: string): { host: string; port: number } {
  const at = text.lastIndexOf(":");
  return { host: text.slice(0, at).replace(/^\[|\]$/g, ""), port: Number(text.slice(at + 1)) };
}

/** Calls `then` with the head of the first request and what came behind it. */
function readHead(socket: Socket, then: (head: string, after: Uint8Array) => void): void {
  let bytes = Buffer.alloc(0);
  socket.on("error", () => socket.destroy());
  socket.on("data", function onData(chunk: Buffer) {
    bytes = Buffer.concat([bytes, chunk]);
    const end = bytes.indexOf("\r\n\r\n");
    if (end < 0) return;
    socket.off("data", onData);
    then(bytes.subarray(0, end).toString("latin1"), bytes.subarray(end + 4));
  });
}

function join(a: Socket, b: Socket): void {
  for (const [from, to] of [[a, b], [b, a]]) {
    from.on("data", (chunk) => {
      if (!to.write(chunk)) from.pause();
    });
    to.on("drain", () => from.resume());
    from.on("end", () => to.end());
    from.on("error", () => to.destroy());
    from.on("close", () => to.destroy());
  }
}

function dial(target: string, first: string | Uint8Array, client: Socket): void {
  const server = net.connect(address(target));
  server.once("connect", () => {
    server.write(first);
    join(client, server);
  });
  server.once("error", () => client.end("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"));
}

function serveReverse([backend, cert, key, mode]: string[]): net.Server {
  const options = { cert: Deno.readTextFileSync(cert), key: Deno.readTextFileSync(key) };
  const server = tls.createServer(options, (client: TLSSocket) => {
    readHead(client, (head, after) => {
      const [line, ...headers] = head.split("\r\n");
      // Node has the name; its types do not.
      console.log(`${(client as { servername?: string }).servername || "-"} ${line}`);
      const upgrade = headers.find((header) => /^upgrade:/i.test(header))?.slice(8).trim().toLowerCase();
      const strip = mode === "websocket" && upgrade !== "websocket";
      const kept = headers.filter((header) => !(strip && /^(upgrade|connection):/i.test(header)));
      // Without an upgrade one connection is one request, so that each passes here.
      const last = upgrade === undefined || strip ? ["Connection: close"] : [];
      const forwarded = [line, ...kept, ...last, `X-Forwarded-For: ${client.remoteAddress}`, "", ""].join("\r\n");
      dial(backend, Buffer.concat([Buffer.from(forwarded, "latin1"), after]), client);
    });
  });
  server.on("tlsClientError", () => {});
  return server;
}

/** The host to connect to. */
function known(host: string): string {
  return net.isIP(host) === 0 ? address(listen).host : host;
}

function serveSocks([login]: string[]): net.Server {
  const target = (host: string, port: number) => {
    console.log(`SOCKS ${host}:${port}`);
    return known(host);
  };
  return socksServer({ ...(login && { login }), target });
}

function serveForward([login, cert, key]: string[]): net.Server {
  const serve = (client: Socket) => {
    readHead(client, (head) => {
      const [line, ...headers] = head.split("\r\n");
      const target = /^CONNECT (\S+) HTTP/.exec(line)?.[1];
      const brought = headers.find((header) => /^proxy-authorization:/i.test(header))?.split(" ").at(-1);
      if (target === undefined) return client.end("HTTP/1.1 405 Method Not Allowed\r\n\r\n");
      if (login && brought !== btoa(login)) return client.end("HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
      console.log(`CONNECT ${target}`);
      const { host, port } = address(target);
      const server = net.connect({ host: known(host), port });
      server.once("connect", () => {
        client.write("HTTP/1.1 200 Connection established\r\n\r\n");
        join(client, server);
      });
      server.once("error", () => client.end("HTTP/1.1 502 Bad Gateway\r\n\r\n"));
    });
  };
  if (cert === undefined) return net.createServer(serve);
  const server = tls.createServer({ cert: Deno.readTextFileSync(cert), key: Deno.readTextFileSync(key) }, serve);
  server.on("tlsClientError", () => {});
  return server;
}

const KINDS: Record<string, (rest: string[]) => net.Server> = {
  reverse: serveReverse,
  forward: serveForward,
  socks: serveSocks,
};
const server = KINDS[kind](rest);
server.listen({ ...address(listen) }, () => console.log("serving"));
