/**
 * The coordinator's directory, mode 0700, and the keys in it, mode 0600.
 *
 * A key is made once, completely or not at all, and never overwritten: nodes refuse a coordinator whose Noise key
 * changed, so a key file that cannot be read must stop the server rather than become a new one.
 */
import {
  chmodSync,
  closeSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { MachinePrivate, NodePrivate } from "../../base/keys.ts";
import type { RandomBytes } from "../../base/keys.ts";
import { toHex, utf8 } from "../../base/bytes.ts";

/** Names in the directory. */
export const STATE_FILES = {
  database: "coordinator.sqlite",
  noiseKey: "noise.key",
  derpKey: "derp.key",
  derpCertificate: "derp-tls.pem",
  socket: "coordinator.sock",
} as const;

/** Makes the directory if it is missing. @throws Error that names it. */
export function ensureStateDir(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
    chmodSync(dir, 0o700);
  } catch (cause) {
    throw new Error(`Cannot use the state directory ${dir}: ${(cause as Error).message}`, { cause });
  }
}

/** The file's text, or undefined when there is no such file. @throws Error that names it, for any other trouble. */
export function readStateFile(dir: string, name: string): string | undefined {
  const path = join(dir, name);
  try {
    return readFileSync(path, "utf8");
  } catch (cause) {
    if ((cause as { code?: string }).code === "ENOENT") return undefined;
    throw new Error(`Cannot read ${path}: ${(cause as Error).message}`, { cause });
  }
}

/** Writes a file of mode 0600 that must not exist yet; it appears whole. */
export function createStateFile(dir: string, name: string, text: string, random: RandomBytes): void {
  const path = join(dir, name);
  const draft = `${path}.${toHex(random(8))}`;
  try {
    const file = openSync(draft, "wx", 0o600);
    try {
      writeSync(file, utf8(text));
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    linkSync(draft, path);
    unlinkSync(draft);
  } catch (cause) {
    throw new Error(`Cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
}

interface Keys<K> {
  parse(text: string): K | undefined;
  generate(random: RandomBytes): K;
}

function loadKey<K extends { revealText(): string }>(dir: string, name: string, keys: Keys<K>, random: RandomBytes): K {
  const text = readStateFile(dir, name);
  if (text === undefined) {
    const key = keys.generate(random);
    createStateFile(dir, name, key.revealText() + "\n", random);
    return key;
  }
  const key = keys.parse(text.trim());
  if (key === undefined) {
    throw new Error(
      `Cannot use ${join(dir, name)}: it holds no key; restore it from a backup (it was left as it is; a new key ` +
        "would be refused by every node)",
    );
  }
  return key;
}

/** The key nodes know this coordinator by. */
export function loadNoiseKey(dir: string, random: RandomBytes): MachinePrivate {
  return loadKey(dir, STATE_FILES.noiseKey, MachinePrivate, random);
}

/** The relay's key. */
export function loadDerpKey(dir: string, random: RandomBytes): NodePrivate {
  return loadKey(dir, STATE_FILES.derpKey, NodePrivate, random);
}
