/**
 * Takes the nodes of a Tailscale state directory over into ours.
 *
 * ```
 *   nobody runs there ─▶ ours held, unused ─▶ AUMs copied ─▶ still as it was? ─▶ state file renamed into place
 * ```
 * The state file comes last and at once: before it nothing of ours has changed, after it all is there. Tailscale's
 * directory stays as it is, but for a note. What only our state has (keys of control servers, what the lock remembers)
 * stays, so that a way there and back makes the node forget nothing.
 */
import { createHash } from "node:crypto";
import { equalBytes } from "../../base/bytes.ts";
import type { StateFile } from "../state_file.ts";
import { lockDirectory, profilesOf } from "./contents.ts";
import type { ProfileContents, StateDirectory } from "./contents.ts";
import { MOVED, movedBytes, OURS, readMoved } from "./moved.ts";
import { MoveError } from "./move_error.ts";
import { asideDirectory, assertIdle, holdOurs, leftThere, notePath, profileNames, readTheirs } from "./place.ts";
import type { MoveOptions } from "./place.ts";
import { copyFile, ownerOf, replaceTree } from "./tree.ts";

/** What was, or would be, taken over. */
export interface TakenOver {
  readonly profiles: readonly ProfileContents[];
  /** Names of what stayed behind, because this version has no use for it. */
  readonly left: readonly string[];
  /** Where what was replaced is now, undefined when nothing was. */
  readonly aside: string | undefined;
}

/** @throws MoveError, StateFileError or LockStoreError; nothing has changed then. */
export function takeOver(options: MoveOptions): TakenOver {
  const { theirs, dryRun } = options;
  const source = readTheirs(theirs);
  if (source === undefined) {
    throw new MoveError(`Cannot take over ${theirs}: it has no tailscaled.state; name the directory with --from`);
  }
  if (source.profiles.length === 0) {
    throw new MoveError(`Cannot take over ${theirs}: no node was ever logged in there; 'agent up' makes a new one`);
  }
  assertIdle(options);
  const file = holdOurs(options);
  try {
    const replaced = assertUnused(options, file);
    const aside = replaced ? asideDirectory(options.ours.directory, options.now) : undefined;
    const outcome = { profiles: source.profiles, left: leftThere(theirs), aside };
    if (!dryRun && file !== undefined) move(options, source, file, aside);
    return outcome;
  } finally {
    file?.close();
  }
}

/** @returns whether there is something to keep a copy of. @throws MoveError */
function assertUnused({ ours, force }: MoveOptions, file: StateFile | undefined): boolean {
  if (file === undefined) return false;
  const there = profilesOf(file.all(), ours.directory);
  if (there.length === 0) return false;
  if (force || readMoved(file)?.kind === "given") return true;
  throw new MoveError(
    `Cannot take over into ${ours.stateFile}: it has ${profileNames(there)} already. Give another place with ` +
      `--statedir or 'agent --instance NAME migrate', or --force to replace it; a copy is kept`,
  );
}

function move(options: MoveOptions, source: StateDirectory, file: StateFile, aside: string | undefined): void {
  const { ours, theirs, now } = options;
  const owner = ownerOf(file.path);
  const kept = aside ?? asideDirectory(ours.directory, now);
  if (aside !== undefined) {
    Deno.mkdirSync(aside, { recursive: true, mode: 0o700 });
    copyFile(file.path, `${aside}/agent.state`, owner);
  }
  for (const { id } of source.profiles) {
    if (id === "") continue;
    replaceTree(lockDirectory(theirs, id), lockDirectory(ours.directory, id), lockDirectory(kept, id), owner);
  }
  // Somebody may have started it, or written to it, meanwhile.
  assertIdle(options);
  if (!equalBytes(Deno.readFileSync(source.stateFile), source.bytes)) {
    throw new MoveError(`Cannot take over ${theirs}: its state changed while it was copied; run this again`);
  }
  const digest = createHash("sha256").update(source.bytes).digest("hex");
  const at = new Date(now).toISOString();
  const own = [...file.all()].filter(([key]) => key.startsWith(OURS));
  const moved = movedBytes({ kind: "taken", directory: theirs, at, digest });
  file.replace(new Map([...own, ...source.state, [MOVED, moved]]));
  writeNote(options, at);
}

function writeNote({ ours, theirs }: MoveOptions, at: string): void {
  const text = `The node of this directory was taken over by agent at ${at}; its state is in ${ours.stateFile} now.\n` +
    "tailscaled must not run on this directory while agent runs: two with one key take each other's place.\n" +
    "'agent migrate --back' gives the node back, with all that has changed since.\n";
  try {
    Deno.writeTextFileSync(notePath(theirs), text, { mode: 0o644 });
  } catch {
    // A read-only directory cannot have the note, and tailscaled cannot run on it.
  }
}
