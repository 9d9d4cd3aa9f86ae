/**
 * Lets only one of two programs run with one node, at the start of ours: by the record of the last move (`moved.ts`), by
 * the processes of the machine (`holders.ts`), and, because the sandbox of our service hides those, by asking a tailscaled
 * that answers on its usual socket which node it is.
 */
import { request } from "node:http";
import { DEFAULTS } from "../flags.ts";
import { StateFileError } from "../state_file.ts";
import type { StateFile } from "../state_file.ts";
import { profilesOf } from "./contents.ts";
import { holdersOf, namesOf } from "./holders.ts";
import { readMoved } from "./moved.ts";

const TIMEOUT_MS = 2_000;
/** Of a status without peers. */
const MOST_BYTES = 1 << 20;

/** Where to look; a test says other places. */
export interface TwinPlaces {
  readonly proc?: string;
  readonly socket?: string;
}

/** @param ourSocket where this daemon is going to answer itself. @throws StateFileError saying where the node runs. */
export async function refuseTwin(file: StateFile, ourSocket: string, places: TwinPlaces = {}): Promise<void> {
  const moved = readMoved(file);
  if (moved === undefined) return;
  const { kind, directory, at } = moved;
  if (kind === "given") {
    throw new StateFileError(
      `Cannot use state file ${file.path}: its node was given back to ${directory} at ${at} and runs there; ` +
        `take it over again with 'agent migrate --from ${directory}', or move the file away to start as a new node`,
    );
  }
  const refuse = (who: string) =>
    new StateFileError(
      `Cannot run: ${who} runs on ${directory}, whose node was taken over into ${file.path}; two with one key take ` +
        `each other's place. Stop it ('systemctl disable --now tailscaled'), or give the node back with ` +
        `'agent migrate --back'`,
    );
  const holders = holdersOf(directory, places.proc);
  if (holders.length > 0) throw refuse(namesOf(holders));
  const socket = places.socket ?? DEFAULTS.tailscaled.socket;
  if (socket === ourSocket) return;
  const key = await nodeKeyAt(socket);
  // Where its profiles are does not matter.
  if (key !== "" && profilesOf(file.all(), "/nonexistent").some(({ nodeKey }) => nodeKey === key)) {
    throw refuse(`the tailscaled that answers on ${socket}`);
  }
}

/** The node key of whoever answers there, "" for nobody. Never rejects. Source: ipnstate.Status, LocalAPI `status`. */
function nodeKeyAt(socketPath: string): Promise<string> {
  return new Promise((resolve) => {
    const asked = request({
      socketPath,
      path: "/localapi/v0/status?peers=false",
      headers: { Host: "local-tailscaled.sock", Connection: "close" },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (part: string) => {
        text += part;
        if (text.length > MOST_BYTES) asked.destroy();
      });
      response.on("error", () => resolve(""));
      response.on("close", () => resolve(""));
      response.on("end", () => resolve(readKey(text)));
    });
    asked.on("error", () => resolve(""));
    asked.on("close", () => resolve(""));
    asked.end();
  });
}

function readKey(text: string): string {
  try {
    const key = JSON.parse(text)?.Self?.PublicKey;
    return typeof key === "string" ? key : "";
  } catch {
    return "";
  }
}
