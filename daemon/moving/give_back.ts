/**
 * Gives our nodes to a Tailscale state directory: back to the one they came from, or to a new one.
 *
 * ```
 *   nobody runs there ─▶ there as it was left ─▶ copy of it kept ─▶ AUMs ─▶ ours marked as given ─▶ state file in place
 * ```
 * From the mark on our daemon refuses to run on the state, so at no moment may both; a move that ends between the two can
 * be made again.
 */
import { createHash } from "node:crypto";
import { formatState, storeState } from "../state_file.ts";
import type { Owner, StateFile } from "../state_file.ts";
import { utf8 } from "../../base/bytes.ts";
import { lockDirectory, profilesOf } from "./contents.ts";
import type { ProfileContents, StateDirectory } from "./contents.ts";
import { MOVED, movedBytes, OURS, readMoved } from "./moved.ts";
import type { Moved } from "./moved.ts";
import { MoveError } from "./move_error.ts";
import { asideDirectory, assertIdle, holdOurs, notePath, profileNames, readTheirs, theirStateFile } from "./place.ts";
import type { MoveOptions } from "./place.ts";
import { copyFile, exists, ownerOf, replaceTree } from "./tree.ts";

/** A profile, and what has become of it since Tailscale had it. */
export interface GivenProfile extends ProfileContents {
  /** Its key was renewed here: the one that Tailscale had is no node's any more. */
  readonly renewed: boolean;
  /** The lock has gone on here. */
  readonly lockMoved: boolean;
}

/** What was, or would be, given back. */
export interface GivenBack {
  readonly directory: string;
  readonly profiles: readonly GivenProfile[];
  /** Where what was replaced is now, undefined when nothing was. */
  readonly aside: string | undefined;
}

/** @param options.theirs "" for where the state came from. @throws MoveError, StateFileError or LockStoreError */
export function giveBack(asked: MoveOptions): GivenBack {
  const file = holdOurs(asked);
  try {
    const moved = file && readMoved(file);
    const options = { ...asked, theirs: asked.theirs || (moved?.directory ?? "") };
    const { ours, theirs, dryRun, now } = options;
    const profiles = file === undefined ? [] : profilesOf(file.all(), ours.directory);
    if (file === undefined || profiles.length === 0) {
      throw new MoveError(`Cannot give back ${ours.stateFile}: no node was ever logged in there`);
    }
    if (theirs === "") {
      throw new MoveError(
        `Cannot give back ${ours.stateFile}: it did not come from Tailscale; name a directory with --to, as ` +
          `/var/lib/tailscale`,
      );
    }
    assertIdle(options);
    const before = readTheirs(theirs);
    assertAsLeft(options, before, moved);
    const aside = before === undefined ? undefined : asideDirectory(theirs, now);
    if (!dryRun) move(options, file, profiles, before, aside);
    return { directory: theirs, aside, profiles: profiles.map((profile) => compared(profile, before)) };
  } finally {
    file?.close();
  }
}

function compared(profile: ProfileContents, before: StateDirectory | undefined): GivenProfile {
  const then = before?.profiles.find(({ id }) => id === profile.id);
  return {
    ...profile,
    renewed: then !== undefined && then.nodeKey !== profile.nodeKey,
    lockMoved: then !== undefined && then.lock?.head !== profile.lock?.head,
  };
}

/** What is there is what we took, or nothing. @throws MoveError */
function assertAsLeft({ theirs, force }: MoveOptions, before: StateDirectory | undefined, moved?: Moved): void {
  if (before === undefined || before.profiles.length === 0 || force) return;
  if (moved?.directory === theirs && moved.digest === digestOf(before.bytes)) return;
  const seen = moved?.directory === theirs
    ? `it is not as it was left at ${moved.at}: tailscaled has run there since`
    : `it has ${profileNames(before.profiles)} already`;
  throw new MoveError(`Cannot give back to ${theirs}: ${seen}. --force replaces it; a copy is kept`);
}

function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function move(
  options: MoveOptions,
  file: StateFile,
  profiles: readonly ProfileContents[],
  before: StateDirectory | undefined,
  aside: string | undefined,
): void {
  const { ours, theirs, now } = options;
  Deno.mkdirSync(theirs, { recursive: true, mode: 0o700 });
  const target = theirStateFile(theirs);
  const owner: Owner = ownerOf(before === undefined ? theirs : target);
  const kept = aside ?? asideDirectory(theirs, now);
  if (aside !== undefined) {
    Deno.mkdirSync(aside, { recursive: true, mode: 0o700 });
    copyFile(target, `${aside}/tailscaled.state`, owner);
  }
  for (const { id } of profiles) {
    if (id === "") continue;
    const [from, to] = [lockDirectory(ours.directory, id), lockDirectory(theirs, id)];
    // Our log of what was committed lately is in its place by now, and Tailscale has none.
    replaceTree(from, to, lockDirectory(kept, id), owner, new Set(["recent"]));
  }
  assertIdle(options);
  const state = new Map([...file.all()].filter(([key]) => !key.startsWith(OURS)));
  const digest = before === undefined ? digestOf(utf8(formatState(state))) : digestOf(before.bytes);
  const moved = movedBytes({ kind: "given", directory: theirs, at: new Date(now).toISOString(), digest });
  file.replace(new Map([...file.all(), [MOVED, moved]]));
  storeState(target, state, owner);
  if (exists(notePath(theirs))) Deno.removeSync(notePath(theirs));
}
