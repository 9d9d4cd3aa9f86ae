/**
 * `lock log`: the chain of AUMs, newest first. Piped or as JSON of schema 1 it is what Tailscale prints; on a terminal it is
 * drawn with the branches that lost. Source: cli.nlDescribeUpdate, jsonoutput.PrintTailnetLockLogJSONV1.
 */
import { toHex } from "../../base/bytes.ts";
import type { Aum } from "../../tka/aum.ts";
import { aumKindName } from "../../tka/aum_kind.ts";
import type { Key } from "../../tka/key.ts";
import { keyKindName } from "../../tka/key.ts";
import { CliError, EXIT_OK } from "../exit_codes.ts";
import { LocalApiError } from "../local_client.ts";
import type { LocalClient } from "../local_client.ts";
import { colourWanted, print } from "../terminal.ts";
import { tlpub } from "./args.ts";
import { chainText } from "./chain_text.ts";
import type { ChainLinkJson } from "./chain_text.ts";
import { exact, goJson, JSON_FLAG, lockStatus, metaV1, refusedAs, requireSchema, withJsonVersion } from "./command.ts";
import type { Run } from "./command.ts";
import { decodeUpdate, updateText } from "./update.ts";
import type { UpdateJson } from "./update.ts";

export const LOG_FLAGS = {
  json: JSON_FLAG,
  limit: { type: "number", help: "max number of updates to list", fallback: 50 },
  graph: { type: "boolean", help: "draw the chain with the branches that lost (default on a terminal)" },
} as const;

function keyV1(key: Key): Record<string, unknown> {
  return {
    Kind: keyKindName(key.kind),
    Votes: Number(key.votes),
    Public: tlpub(key.public ?? new Uint8Array(0)),
    ...(key.meta && key.meta.size > 0 && { Meta: metaV1(key.meta) }),
  };
}

function aumV1(aum: Aum): Record<string, unknown> {
  const { state } = aum;
  return {
    MessageKind: aumKindName(aum.kind),
    ...(aum.parent !== undefined && { PrevAUMHash: aum.parent }),
    ...(aum.key && { Key: keyV1(aum.key) }),
    ...(aum.keyId && { KeyID: tlpub(aum.keyId) }),
    ...(state && {
      State: {
        ...(state.lastAumHash !== null && { LastAUMHash: state.lastAumHash }),
        DisablementValues: (state.disablementValues ?? []).map((value) => toHex(value ?? new Uint8Array(0))),
        Keys: (state.keys ?? []).map(keyV1),
        StateID1: exact(state.stateId1),
        StateID2: exact(state.stateId2),
      },
    }),
    ...(aum.votes !== undefined && { Votes: Number(aum.votes) }),
    ...(aum.meta && { Meta: metaV1(aum.meta) }),
    ...(aum.signatures.length > 0 && {
      Signatures: aum.signatures.map(({ keyId, signature }) => ({
        KeyID: tlpub(keyId ?? new Uint8Array(0)),
        Signature: (signature ?? new Uint8Array(0)).toBase64({ alphabet: "base64url" }),
      })),
    }),
  };
}

/** `--json=1`. */
export function logV1(aums: readonly Aum[]): Record<string, unknown> {
  const Messages = aums.map((aum) => ({
    Hash: aum.hash,
    AUM: aumV1(aum),
    Raw: aum.bytes.toBase64({ alphabet: "base64url" }),
  }));
  return { SchemaVersion: "1", Messages };
}

/** The chain with its branches; undefined from Tailscale's daemon, which does not tell of them. */
async function chainOf(client: LocalClient, limit: number): Promise<readonly ChainLinkJson[] | undefined> {
  try {
    return await client.json<readonly ChainLinkJson[]>("GET", `agent/lock/chain?limit=${limit}`);
  } catch (error) {
    if (error instanceof LocalApiError && error.status === 404) return undefined;
    throw error;
  }
}

export const log: Run = async (args, { client }) => {
  const { values, given } = withJsonVersion(LOG_FLAGS, args);
  if (!(await lockStatus(client)).Enabled) throw new CliError("Tailnet Lock is not enabled");
  const { json, limit } = values;
  if (json === "" && (given.has("graph") ? values.graph : Deno.stdout.isTerminal())) {
    const chain = await chainOf(client, limit);
    if (chain !== undefined) {
      print(chainText(chain, colourWanted()));
      return EXIT_OK;
    }
  }
  const updates = await refusedAs("error", client.json<UpdateJson[] | null>("GET", `tka/log?limit=${limit}`));
  const aums = (updates ?? []).map(decodeUpdate);
  if (json !== "") {
    requireSchema(json);
    print(goJson(logV1(aums)));
  } else {
    for (const aum of aums) print(updateText(aum, colourWanted()));
  }
  return EXIT_OK;
};
