/** Entry of the worker that derives disablement values: Argon2i takes 16 MiB and about half a second (L12). */
import { disablementValue } from "./disablement.ts";

/** The worker's side of a global scope; the types of a window are in force here. */
const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<Uint8Array>) => void) | null;
  postMessage(message: Uint8Array): void;
};

scope.onmessage = ({ data }) => scope.postMessage(disablementValue(data));
