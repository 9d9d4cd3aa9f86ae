/**
 * A bad stretch of road: what is routed into its TUN device comes out of it again, with packets lost, doubled, and put
 * behind later ones. Run inside the namespace of a router:
 *
 *   bad_link.ts DEVICE LOSS DOUBLE LATE     shares of 0 to 1; says "ready", and at the end of its input a line of counts
 */
import { closeFd, cString, libc, O_NONBLOCK, O_RDWR } from "../../ffi/libc.ts";

const TUNSETIFF = 0x400454ca;
const IFF_TUN_NO_PI = 0x1001;
/** How many packets overtake one that is late. */
const LATE_BY = 4;

const [device, ...shares] = Deno.args;
const [loss, double, late] = shares.map(Number);
const fd = libc.open(cString("/dev/net/tun"), O_RDWR | O_NONBLOCK, 0);
const request = new Uint8Array(40);
request.set(new TextEncoder().encode(device));
new DataView(request.buffer).setUint16(16, IFF_TUN_NO_PI, true);
if (fd < 0 || libc.ioctl_buffer(fd, TUNSETIFF, request) < 0) throw new Error(`Cannot make ${device}`);

const counts = { passed: 0, lost: 0, doubled: 0, late: 0 };
const held: { packet: Uint8Array<ArrayBuffer>; after: number }[] = [];
const buffer = new Uint8Array(65_536);
const put = (packet: Uint8Array<ArrayBuffer>) => libc.write_buffer(fd, packet, packet.length);

/** Takes in all that waits. @returns whether there was any. */
function pump(): boolean {
  let any = false;
  for (let n = libc.read_buffer(fd, buffer, buffer.length); n > 0; n = libc.read_buffer(fd, buffer, buffer.length)) {
    any = true;
    const packet = buffer.slice(0, n);
    const dice = Math.random();
    if (dice < loss) counts.lost++;
    else if (dice < loss + late) {
      counts.late++;
      held.push({ packet, after: LATE_BY });
      continue;
    } else {
      counts.passed++;
      put(packet);
      if (dice < loss + late + double) {
        counts.doubled++;
        put(packet);
      }
    }
    for (const one of held) one.after--;
    while (held.length > 0 && held[0].after <= 0) put(held.shift()!.packet);
  }
  return any;
}

let open = true;
(async () => {
  for await (const _ of Deno.stdin.readable) continue;
  open = false;
})();
console.log("ready");
while (open) {
  pump();
  // What is held with nothing behind it is late by the pause only.
  await new Promise((resolve) => setTimeout(resolve, 1));
  if (!pump()) { while (held.length > 0) put(held.shift()!.packet); }
}
console.log(JSON.stringify(counts));
closeFd(fd);
