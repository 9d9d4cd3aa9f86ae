/** `serve`: answers UDP port 7777 of both families with who asked. `ask IP`: asks, and prints the answer or "nothing". */
import { createSocket } from "node:dgram";

const [verb, ip] = Deno.args;
if (verb === "serve") {
  for (const type of ["udp4", "udp6"] as const) {
    const socket = createSocket({ type, ipv6Only: type === "udp6" });
    socket.on("message", (_, from) => socket.send(from.address, from.port, from.address));
    await new Promise<void>((resolve) => socket.bind(7777, resolve));
  }
  console.log("ready");
} else {
  const socket = createSocket(ip.includes(":") ? "udp6" : "udp4");
  socket.on("message", (message, from) => {
    console.log(`echo from ${from.address}, seen as ${message}`);
    Deno.exit(0);
  });
  socket.send("who am I", 7777, ip);
  setTimeout(() => {
    console.log("nothing");
    Deno.exit(0);
  }, 700);
}
