import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import { askWeb } from "../../daemon/ask_web.ts";
import type { TcpConnect } from "../../control/client/connect.ts";

const tcp: TcpConnect = (host, port) =>
  new Promise((resolve, reject) => {
    const socket = connect({ host, port }, () => resolve(socket)).once("error", reject);
  });

Deno.test("askWeb() sends the challenge and gives the head of the answer; what is no HTTP rejects, and so does the signal", async () => {
  const asked: string[] = [];
  let answer = "";
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {}).on("data", (bytes) => {
      asked.push(String(bytes));
      if (answer !== "") socket.write(answer);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/generate_204?t=1`;
  const never = new AbortController().signal;
  answer = "HTTP/1.1 204 No Content\r\nX-Tailscale-Response: response ts_x\r\n\r\n";
  assert.deepEqual(await askWeb(tcp)(url, "ts_x", never), { status: 204, response: "response ts_x" });
  assert.match(
    asked[0],
    /^GET \/generate_204\?t=1 HTTP\/1\.1\r\nHost: 127\.0\.0\.1:\d+\r\n[^]*X-Tailscale-Challenge: ts_x/,
  );
  answer = "HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n";
  assert.deepEqual(await askWeb(tcp)(url, "", never), { status: 302, response: "" });
  assert.doesNotMatch(asked[1], /Challenge/);
  answer = "SSH-2.0-x\r\n";
  await assert.rejects(askWeb(tcp)(url, "", never), /SSH/);
  answer = "";
  const over = new AbortController();
  const waiting = askWeb(tcp)(url, "", over.signal);
  over.abort(new Error("enough"));
  await assert.rejects(waiting, /enough/);
  for (const socket of sockets) socket.destroy();
  server.close();
});
