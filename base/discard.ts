/** The end of a connection that nobody uses any more. */
import type { Duplex } from "node:stream";

/** Closes it at once. A destroyed socket may still have an error to tell; unheard it would end the process. */
export function discard(stream: Duplex): void {
  stream.on("error", () => {});
  stream.destroy();
}
