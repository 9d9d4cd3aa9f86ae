/**
 * What a state directory holds: the nodes of its profiles, and their parts of Tailnet Lock. Both programs have the same:
 *
 *   <dir>/tailscaled.state, agent.state   the state file (`state_file.ts`, `profiles.ts`)
 *   <dir>/tka-profiles/<profile ID>/      AUMs of Tailnet Lock (`lock/disk_chonk.ts`)
 *
 * What else Tailscale keeps there (certs, files, ssh, profile-data, logs) this version has no use for.
 */
import { fromUtf8 } from "../../base/bytes.ts";
import { Authority } from "../../tka/authority.ts";
import { TkaError } from "../../tka/errors.ts";
import { DiskChonk } from "../lock/disk_chonk.ts";
import { LockStoreError } from "../lock/store_files.ts";
import { corrupt, inOrder, readProfiles, readSavedPrefs, readText } from "../login_profile.ts";
import { controlUrl } from "../prefs.ts";
import { CURRENT, LEGACY } from "../profiles.ts";
import { MemoryState, parseState } from "../state_file.ts";
import type { Prefs } from "../prefs.ts";
import { MoveError } from "./move_error.ts";

/** A state as the file has it: keys to bytes. */
export type State = ReadonlyMap<string, Uint8Array>;

/** Tailnet Lock of one profile. */
export interface LockContents {
  /** Base32 of the newest AUM. */
  readonly head: string;
  /** How many AUMs are stored. */
  readonly updates: number;
}

/** One profile of a state directory. */
export interface ProfileContents {
  /** "" for the one node of versions before profiles. */
  readonly id: string;
  readonly name: string;
  /** The tailnet, as people know it. */
  readonly tailnet: string;
  readonly controlUrl: string;
  readonly current: boolean;
  /** `nodekey:…`, "" while logged out. */
  readonly nodeKey: string;
  /** Undefined where no lock is stored. */
  readonly lock: LockContents | undefined;
  /** The key is bound to this machine's TPM in a way that only Tailscale speaks. */
  readonly attested: boolean;
}

/** A directory with a state file. */
export interface StateDirectory {
  readonly path: string;
  readonly stateFile: string;
  /** The bytes of the state file. */
  readonly bytes: Uint8Array;
  readonly state: State;
  readonly profiles: readonly ProfileContents[];
}

/** Reads a directory; undefined when it has no state file. @throws MoveError, StateFileError or LockStoreError */
export function readDirectory(path: string, stateFile: string): StateDirectory | undefined {
  let bytes: Uint8Array;
  try {
    bytes = Deno.readFileSync(stateFile);
  } catch (cause) {
    if (cause instanceof Deno.errors.NotFound) return undefined;
    throw new MoveError(`Cannot read ${stateFile}: ${cause instanceof Error ? cause.message : cause}; run as root`);
  }
  const text = fromUtf8(bytes) ?? "";
  if (isSealed(text)) {
    throw new MoveError(
      `Cannot read ${stateFile}: Tailscale has encrypted it with this machine's TPM, and it alone can open it. Have it ` +
        `write the file plainly first: set FLAGS="--encrypt-state=false" in /etc/default/tailscaled, ` +
        `'systemctl restart tailscaled', 'systemctl stop tailscaled', then run this again`,
    );
  }
  const state = parseState(stateFile, text);
  return { path, stateFile, bytes, state, profiles: profilesOf(state, path) };
}

/** Where a profile's AUMs are. */
export function lockDirectory(directory: string, profileId: string): string {
  return `${directory}/tka-profiles/${profileId}`;
}

/** Such a file has exactly these keys. Source: ipn/store maybeMigrateLocalStateFile. */
function isSealed(text: string): boolean {
  try {
    return Object.keys(JSON.parse(text)).sort().join() === "data,key,nonce";
  } catch {
    return false;
  }
}

/** The profiles of a state, oldest first. @param directory with the AUMs. @throws StateFileError or LockStoreError */
export function profilesOf(state: State, directory: string): ProfileContents[] {
  const store = new MemoryState();
  for (const [key, value] of state) store.write(key, value);
  const known = inOrder(readProfiles(store).values());
  if (known.length === 0) {
    const prefs = readSavedPrefs(store, LEGACY);
    const node = prefs && { id: "", name: "", tailnet: "", current: true, lock: undefined, ...nodeOf(prefs) };
    return node === undefined || node.nodeKey === "" ? [] : [node];
  }
  const current = readText(store, CURRENT);
  return known.map((profile) => {
    const { ID: id, Key, Name: name, NetworkProfile } = profile;
    // It becomes a path.
    if (!/^[0-9A-Za-z]{1,32}$/.test(id)) throw corrupt("_profiles", `${JSON.stringify(id)} is no ID of a profile`);
    const prefs = readSavedPrefs(store, Key);
    return {
      id,
      name,
      tailnet: NetworkProfile.DisplayName || NetworkProfile.DomainName,
      current: Key === current,
      ...nodeOf(prefs, profile.ControlURL),
      lock: lockOf(lockDirectory(directory, id)),
    };
  });
}

function nodeOf(prefs: Prefs | undefined, url = ""): Pick<ProfileContents, "controlUrl" | "nodeKey" | "attested"> {
  const attestation = prefs?.persist?.unknown.AttestationKey;
  return {
    controlUrl: prefs === undefined ? url : controlUrl(prefs),
    nodeKey: prefs?.persist?.nodeKey?.public.toString() ?? "",
    attested: attestation !== undefined && attestation !== null,
  };
}

/** @throws LockStoreError when what is there cannot be believed. */
function lockOf(directory: string): LockContents | undefined {
  const chonk = DiskChonk.open(directory);
  if (chonk.heads().length === 0) return undefined;
  try {
    return { head: Authority.open(chonk).head, updates: chonk.all().length };
  } catch (cause) {
    if (!(cause instanceof TkaError)) throw cause;
    throw new LockStoreError(`Cannot believe the Tailnet Lock in ${directory}: ${cause.message}`, { cause });
  }
}
