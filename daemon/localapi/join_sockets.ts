/** Two connections made one: what comes by either goes out by the other, and the end of each direction is passed on. */
import type { Duplex } from "node:stream";

/** Resolves when both are closed. Never rejects: where one breaks both do. */
export async function joinSockets(a: Duplex, b: Duplex): Promise<void> {
  await Promise.all([carry(a, b), carry(b, a)]);
}

function carry(from: Duplex, to: Duplex): Promise<void> {
  return new Promise((resolve) => {
    from.on("error", () => to.destroy());
    from.on("close", () => {
      // Without an end of its own it was torn down, and the other side has to see that.
      if (!from.readableEnded) to.destroy();
      resolve();
    });
    from.pipe(to);
  });
}
