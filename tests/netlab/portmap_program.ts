/**
 * Runs a port mapper for UDP port 41641 in the namespace it is started in, by the machine's own sockets. `go` on standard
 * input probes and maps, `end` gives the mapping back; each is answered by a line of JSON.
 */
import { createSocket } from "node:dgram";
import { systemPortmap } from "../../daemon/portmap_io.ts";
import { systemRandom, systemScheduler } from "../../base/system.ts";
import { interfaceAddresses } from "../../daemon/system.ts";
import { PortMapper } from "../../engine/portmap/port_mapper.ts";

const log: string[] = [];
const mapper = new PortMapper(
  { ...systemPortmap(interfaceAddresses, 0), scheduler: systemScheduler, random: systemRandom, localPort: () => 41641 },
  () => {},
  (line) => log.push(line),
);
const heard: string[] = [];
const socket = createSocket("udp4");
socket.on("message", (message) => heard.push(String(message)));
socket.bind(41641);

const say = (line: unknown) => console.log(JSON.stringify(line));
for await (const order of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  switch (order.trim()) {
    case "go": {
      const services = await mapper.probe();
      await mapper.update();
      say({ services, external: mapper.external, log });
      break;
    }
    case "heard":
      say(heard);
      break;
    case "end":
      await mapper.close();
      say({ external: mapper.external });
      Deno.exit(0);
  }
}
