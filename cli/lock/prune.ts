/**
 * `lock prune`: retires the trusted keys of auth keys that let nobody in any more. Every wrapped auth key leaves one behind
 * for ever, and 512 is the end.
 *
 *   list ──yes──▶ sign again what hangs on them ──▶ nothing hangs on them? ──▶ remove them in one change
 */
import { LockPublic } from "../../base/lock_key.ts";
import { MAX_KEYS } from "../../tka/limits.ts";
import { parseLife } from "../coordinator/life.ts";
import { CliError, EXIT_FAILED, EXIT_OK, UsageError } from "../exit_codes.ts";
import { parseFlags } from "../flags.ts";
import type { FlagTable } from "../flags.ts";
import { LocalApiError } from "../local_client.ts";
import type { LocalClient } from "../local_client.ts";
import { columns, print, printError } from "../terminal.ts";
import { keyJson } from "./args.ts";
import { refusedAs, requireEnabled, requireSigner } from "./command.ts";
import type { Run } from "./command.ts";
import { hangingOn, signAgain } from "./resign.ts";
import type { TrustedKeyJson } from "./types.ts";

export const PRUNE_FLAGS = {
  "older-than": {
    type: "string",
    value: "TIME",
    help: "where control does not tell of an auth key, retire keys made so long ago",
    fallback: "90d",
  },
  yes: { type: "boolean", help: "do it without asking" },
} as const satisfies FlagTable;

/** What control says of an auth key. */
export type AuthKeyState = "valid" | "used" | "expired" | "unknown";

/** A key to retire, and why. */
export interface Prunable {
  readonly key: LockPublic;
  /** Public part of the auth key; "" when the lock does not tell. */
  readonly authKey: string;
  readonly why: string;
}

const DAY_MS = 86_400_000;

/**
 * Which keys to retire. Pure.
 *
 * A used or expired auth key lets nobody in. Where control does not tell, age must: Tailscale's live 90 days at most.
 * @param states by auth key. @param now Unix milliseconds.
 */
export function prunable(
  keys: readonly TrustedKeyJson[],
  states: Readonly<Record<string, AuthKeyState>>,
  olderThanMs: number,
  now: number,
): Prunable[] {
  return keys.flatMap(({ Key, Metadata }): Prunable[] => {
    const key = LockPublic.parse(Key);
    if (key === undefined || Metadata?.purpose !== "pre-auth key") return [];
    const authKey = Metadata.authkey_stableid ?? "";
    const state = Object.hasOwn(states, authKey) ? states[authKey] : "unknown";
    if (state === "valid") return [];
    if (state !== "unknown") return [{ key, authKey, why: `${state}, says control` }];
    const made = Number(Metadata.wrapper_createtime) * 1000;
    if (!Number.isSafeInteger(made) || made <= 0 || now - made < olderThanMs) return [];
    return [{ key, authKey, why: `made ${Math.floor((now - made) / DAY_MS)} days ago` }];
  });
}

/** Control's word on auth keys; nothing from another daemon than ours, or another coordinator. */
async function statesOf(client: LocalClient, ids: readonly string[]): Promise<Record<string, AuthKeyState>> {
  if (ids.length === 0) return {};
  try {
    return await client.json<Record<string, AuthKeyState>>("POST", "agent/lock/auth-keys", { IDs: ids });
  } catch (error) {
    if (error instanceof LocalApiError && error.status !== 403) return {};
    throw error;
  }
}

export const prune: Run = async (args, { client, program }) => {
  const { values, rest } = parseFlags(PRUNE_FLAGS, args);
  if (rest.length > 0) throw new UsageError(`${program} lock prune: unexpected argument`);
  const status = await requireEnabled(client);
  const keys = status.TrustedKeys ?? [];
  const ids = keys.flatMap(({ Metadata }) => Metadata?.authkey_stableid ?? []);
  const old = prunable(keys, await statesOf(client, ids), parseLife("older-than", values["older-than"]), Date.now());
  const total = `${keys.length} of ${MAX_KEYS} keys are trusted`;
  if (old.length === 0) {
    print(`${total}; none belongs to an auth key that is done with.\n`);
    return EXIT_OK;
  }
  const counted = await Promise.all(
    old.map(async (item) => ({ ...item, nodes: (await hangingOn(client, item.key.bytes)).length })),
  );
  const rows = counted.map(({ key, authKey, why, nodes }) => [authKey || "-", why, String(nodes), key.cliString()]);
  print(`${columns([["AUTH KEY", "WHY", "NODES", "TRUSTED KEY"], ...rows])}\n\n`);
  const nodes = counted.reduce((sum, item) => sum + item.nodes, 0);
  print(`${total}; ${old.length} would go, and ${nodes} ${nodes === 1 ? "node" : "nodes"} be signed by this node.\n`);
  if (!values.yes) {
    if (!Deno.stdin.isTerminal()) {
      print(`Nothing was changed. To do it: ${program} lock prune --yes\n`);
      return EXIT_OK;
    }
    if (!confirm("Do it?")) {
      print("Nothing was changed.\n");
      return EXIT_FAILED;
    }
  }
  requireSigner(status);
  for (const { key } of old) await signAgain(client, key.bytes);
  // A node may have joined by one of the auth keys meanwhile.
  for (const { key } of old) {
    const left = (await hangingOn(client, key.bytes)).length;
    if (left > 0) {
      throw new CliError(`${left} nodes still hang on ${key.cliString()}: they joined just now; run it again`);
    }
  }
  const RemoveKeys = old.map(({ key }) => keyJson({ key, votes: 1 }));
  await refusedAs("error", client.text("POST", "tka/modify", { AddKeys: null, RemoveKeys }));
  printError(`Retired ${old.length} keys.\n`);
  return EXIT_OK;
};
