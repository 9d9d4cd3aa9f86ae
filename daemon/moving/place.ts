/** The two ends of a move, and what stands in its way at either. */
import { StateFile } from "../state_file.ts";
import { readDirectory } from "./contents.ts";
import type { ProfileContents, StateDirectory } from "./contents.ts";
import { holdersOf, namesOf } from "./holders.ts";
import { MoveError } from "./move_error.ts";
import { exists } from "./tree.ts";

/** Ours: where the state file is, and the directory of all else. */
export interface OurPlace {
  readonly stateFile: string;
  readonly directory: string;
}

/** What every move is told. */
export interface MoveOptions {
  readonly ours: OurPlace;
  /** Tailscale's state directory. */
  readonly theirs: string;
  /** Only look. */
  readonly dryRun: boolean;
  /** Replace what is there; a copy of it is kept. */
  readonly force: boolean;
  /** Unix milliseconds. */
  readonly now: number;
  /** Where procfs is. */
  readonly proc?: string;
}

/** Tailscale's state file in its directory. Source: paths.DefaultTailscaledStateFile, tsnet.Server.Dir. */
export function theirStateFile(directory: string): string {
  return `${directory}/tailscaled.state`;
}

/** Nobody runs on Tailscale's directory. @throws MoveError */
export function assertIdle({ theirs, proc }: MoveOptions): void {
  const holders = holdersOf(theirs, proc);
  if (holders.length === 0) return;
  const stop = holders.some(({ name }) => name === "tailscaled")
    ? "'systemctl disable --now tailscaled'"
    : `'kill ${holders[0].pid}'`;
  throw new MoveError(`Cannot move while ${namesOf(holders)} runs on ${theirs}; stop it first: ${stop}`);
}

/** Tailscale's directory. @throws MoveError when it has no state. */
export function readTheirs(directory: string): StateDirectory | undefined {
  return readDirectory(directory, theirStateFile(directory));
}

/**
 * Holds our state file, so that no daemon starts on it meanwhile. A look at a place where there is none makes none.
 * @throws StateFileError when a daemon has it.
 */
export function holdOurs({ ours, dryRun }: MoveOptions): StateFile | undefined {
  return dryRun && !exists(ours.stateFile) ? undefined : StateFile.open(ours.stateFile);
}

/** Names of the profiles, for messages. */
export function profileNames(profiles: readonly ProfileContents[]): string {
  return profiles.map(({ name, id, tailnet }) => name || tailnet || id || "a node").join(", ");
}

/** Where what is replaced goes: `<directory>/before-migrate-20261127T204500Z`. */
export function asideDirectory(directory: string, now: number): string {
  return `${directory}/before-migrate-${new Date(now).toISOString().replace(/[-:]|\.\d+/g, "")}`;
}

/** What is at Tailscale's place besides state, AUMs and logs; this version has no use for it. */
export function leftThere(directory: string): string[] {
  const known = /^(tailscaled\.state|tka-profiles|tailscaled\.log.*|MOVED-TO-AGENT|before-migrate-.*|.*\.tmp.*)$/;
  return [...Deno.readDirSync(directory)].map(({ name }) => name).filter((name) => !known.test(name)).sort();
}

/** The file that says so to whoever looks into Tailscale's directory. */
export function notePath(directory: string): string {
  return `${directory}/MOVED-TO-AGENT`;
}
