/**
 * `lock`: Tailnet Lock from the command line. Arguments, texts and JSON are Tailscale's, so that scripts for
 * `tailscale lock` work; `doctor` and `status --all` are ours. Source: cmd/tailscale/cli/tailnet-lock.go.
 */
import { fromBase64, toBase64, toHex } from "../base/bytes.ts";
import { NodePublic } from "../base/keys.ts";
import { LockPrivate, LockPublic } from "../base/lock_key.ts";
import { aumHashOf, parseAumHash } from "../tka/aum_hash.ts";
import { disablementValue } from "../tka/disablement.ts";
import { decodeNodeKeySignature, unverifiedWrappingKey } from "../tka/node_key_signature.ts";
import { CliError, EXIT_FAILED, EXIT_OK, UsageError } from "./exit_codes.ts";
import { flagHelp, parseFlags } from "./flags.ts";
import type { FlagTable } from "./flags.ts";
import { LocalApiError } from "./local_client.ts";
import type { LocalClient } from "./local_client.ts";
import type { Status } from "./local_types.ts";
import { hexArg, keyJson, parseKeys, parseKeysAndValues, parseSecret } from "./lock/args.ts";
import { decodeUpdate, logV1, updateText } from "./lock/log.ts";
import type { UpdateJson } from "./lock/log.ts";
import { allNodesText, statusText, statusV1 } from "./lock/status.ts";
import { parseExact } from "./lock/types.ts";
import type { LockStatus } from "./lock/types.ts";
import { colourWanted, print, printError } from "./terminal.ts";
import type { Verb, VerbContext } from "./verb.ts";

const JSON_FLAG = { type: "string", value: "1", help: "print as JSON of this schema version" } as const;
const STATUS_FLAGS = { json: JSON_FLAG, all: { type: "boolean", help: "show every node" } } as const;
const LOG_FLAGS = {
  json: JSON_FLAG,
  limit: { type: "number", help: "max number of updates to list", fallback: 50 },
} as const;
const INIT_FLAGS = {
  "gen-disablements": { type: "number", help: "number of disablement secrets to generate", fallback: 1 },
  "gen-disablement-for-support": { type: "boolean", help: "generate one more and send it to the control server" },
  confirm: { type: "boolean", help: "do it" },
} as const;
const REMOVE_FLAGS = {
  "re-sign": { type: "boolean", help: "sign again what hangs on the removed keys", fallback: true },
} as const;
const REVOKE_FLAGS = {
  cosign: { type: "boolean", help: "sign the recovery given with this node's key too" },
  finish: { type: "boolean", help: "submit the recovery given" },
  "fork-from": { type: "string", value: "hash", help: "AUM to rewrite from (advanced)" },
} as const;
const DOCTOR_FLAGS = { retry: { type: "boolean", help: "have the daemon try at once what it gave up" } } as const;

type Run = (args: readonly string[], context: VerbContext) => Promise<number>;

async function lockStatus(client: LocalClient): Promise<LockStatus> {
  return parseExact(await client.text("GET", "tka/status")) as LockStatus;
}

/** `--json` alone means schema 1. */
function withJsonVersion<T extends FlagTable>(table: T, args: readonly string[]) {
  return parseFlags(table, args.map((arg) => /^--?json(=true)?$/.test(arg) ? "--json=1" : arg));
}

function requireSchema(version: string): void {
  if (version !== "1") throw new CliError(`unrecognised version: ${version}`);
}

const status: Run = async (args, { client, program }) => {
  const { values, rest } = withJsonVersion(STATUS_FLAGS, args);
  if (rest.length > 0) throw new UsageError("lock status: unexpected argument");
  const seen = await lockStatus(client);
  if (values.json !== "") {
    requireSchema(values.json);
    print(`${JSON.stringify(statusV1(seen), null, 2)}\n`);
  } else {
    print(statusText(seen, program));
    if (values.all) print(`\n${allNodesText(seen)}`);
  }
  return EXIT_OK;
};

const log: Run = async (args, { client }) => {
  const { values } = withJsonVersion(LOG_FLAGS, args);
  if (!(await lockStatus(client)).Enabled) throw new CliError("Tailnet Lock is not enabled");
  const updates = await client.json<UpdateJson[] | null>("GET", `tka/log?limit=${values.limit}`);
  const aums = (updates ?? []).map(decodeUpdate);
  if (values.json !== "") {
    requireSchema(values.json);
    print(`${JSON.stringify(logV1(aums), null, 2)}\n`);
  } else {
    for (const aum of aums) print(updateText(aum, colourWanted()));
  }
  return EXIT_OK;
};

const init: Run = async (args, { client, program }) => {
  const { values, rest } = parseFlags(INIT_FLAGS, args);
  const seen = await lockStatus(client);
  if (seen.Enabled) throw new CliError("tailnet lock is already enabled");
  const { keys, values: disablements } = parseKeysAndValues(rest);
  if (!keys.some(({ key }) => key.toString() === seen.PublicKey)) {
    throw new CliError(
      "the tailnet lock key of the current node must be one of the trusted keys during initialization",
    );
  }
  const count = values["gen-disablements"];
  const support = values["gen-disablement-for-support"];
  if (count < 0 || count > 32) throw new UsageError("--gen-disablements: want 0 to 32");
  print("You are initializing tailnet lock with the following trusted signing keys:\n");
  for (const { key } of keys) print(` - ${key.cliString()} (25519 key)\n`);
  print("\n");
  if (keys.length === 1) {
    print(
      "Only this node will be able to sign: if it is lost, the disablement secret is the only way out. " +
        "Name a second node's key to be safe.\n",
    );
  }
  if (!values.confirm) {
    print(`${count} disablement secrets will be generated.\n`);
    if (support) print("A disablement secret will be generated and transmitted to Tailscale support.\n");
    const flag = support ? "--gen-disablement-for-support " : "";
    print("\nIf this is correct, please re-run this command with the --confirm flag:\n");
    print(`\t${program} lock init --confirm --gen-disablements ${count} ${flag}${rest.join(" ")}\n`);
    return EXIT_OK;
  }
  const random = () => crypto.getRandomValues(new Uint8Array(32));
  const secrets = Array.from({ length: count }, random);
  const forSupport = support ? random() : undefined;
  const derived = [...secrets, ...(forSupport ? [forSupport] : [])].map(disablementValue);
  await client.text("POST", "tka/init", {
    Keys: keys.map(keyJson),
    DisablementValues: [...disablements, ...derived].map((value) => toBase64(value)),
    SupportDisablement: forSupport === undefined ? null : toBase64(forSupport),
  });
  print(
    `${count} disablement secrets have been generated and are printed below. ` +
      "Take note of them now, they WILL NOT be shown again.\n",
  );
  for (const secret of secrets) print(`\tdisablement-secret:${toHex(secret).toUpperCase()}\n`);
  if (support) {
    print("A disablement secret for Tailscale support has been generated and transmitted to Tailscale.\n");
  }
  print("Initialization complete.\n");
  return EXIT_OK;
};

async function requireEnabled(client: LocalClient): Promise<LockStatus> {
  const seen = await lockStatus(client);
  if (!seen.Enabled) throw new CliError("tailnet lock is not enabled");
  return seen;
}

const add: Run = async (args, { client }) => {
  const keys = parseKeys(args);
  await requireEnabled(client);
  await client.text("POST", "tka/modify", { AddKeys: keys.map(keyJson), RemoveKeys: null });
  return EXIT_OK;
};

async function signAgain(client: LocalClient, key: LockPublic): Promise<void> {
  const body = await client.bytes("POST", "tka/affected-sigs", key.bytes);
  const signatures: string[] | null = JSON.parse(new TextDecoder().decode(body));
  for (const text of signatures ?? []) {
    const signature = decodeNodeKeySignature(fromBase64(text) ?? new Uint8Array(0));
    const nodeKey = new NodePublic((signature.pubkey ?? new Uint8Array(0)).subarray(2));
    const rotation = unverifiedWrappingKey(signature);
    const RotationPublic = rotation === undefined ? null : toBase64(rotation);
    await client.text("POST", "tka/sign", { NodeKey: nodeKey.toString(), RotationPublic });
  }
}

const remove: Run = async (args, { client, program }) => {
  const { values, rest } = parseFlags(REMOVE_FLAGS, args);
  const keys = parseKeys(rest);
  const seen = await requireEnabled(client);
  if ((seen.TrustedKeys ?? []).length === 1) {
    throw new CliError(
      `cannot remove the last trusted signing key; use '${program} lock disable' to disable tailnet lock instead, ` +
        "or add another signing key before removing one",
    );
  }
  if (values["re-sign"]) {
    if (keys.some(({ key }) => key.toString() === seen.PublicKey)) {
      throw new CliError(
        "cannot remove local trusted signing key while resigning; run command on a different node or with " +
          "--re-sign=false",
      );
    }
    for (const { key } of keys) await signAgain(client, key);
  } else if (Deno.stdin.isTerminal()) {
    print(
      "Warning\nRemoval of a signing key(s) without resigning nodes (--re-sign=false)\n" +
        "will cause any nodes signed by the given key(s) to be locked out\n" +
        "of the Tailscale network. Proceed with caution.\n",
    );
    if (!confirm("Are you sure you want to remove the signing key(s)?")) {
      print("aborting removal of signing key(s)\n");
      return EXIT_OK;
    }
  }
  await client.text("POST", "tka/modify", { AddKeys: null, RemoveKeys: keys.map(keyJson) });
  return EXIT_OK;
};

/** Wraps an auth key: its signer is made for it alone and is trusted from then on. */
const wrap: Run = async (args, { client }) => {
  if (args.length !== 1) throw new UsageError("usage: lock tskey-wrap <tailscale pre-auth key>");
  const [authKey] = args;
  if (authKey.includes("--TL")) throw new CliError("Error: provided key was already wrapped");
  const { Self } = await client.json<Status>("GET", "status?peers=false");
  const signer = LockPrivate.generate((length) => crypto.getRandomValues(new Uint8Array(length)));
  // Of the auth key no more than its public part may get into the metadata.
  const id = /^tskey-auth-([^-]+)-/.exec(authKey)?.[1];
  const meta = {
    purpose: "pre-auth key",
    wrapper_stableid: Self?.ID ?? "",
    wrapper_createtime: String(Math.floor(Date.now() / 1000)),
    ...(id !== undefined && { authkey_stableid: id }),
  };
  const wrapped = await client.text("POST", "tka/wrap-preauth-key", { TSKey: authKey, TKAKey: signer.revealText() });
  await client.text("POST", "tka/modify", { AddKeys: [keyJson({ key: signer.public, votes: 1, meta })] });
  print(`${wrapped.trim()}\n`);
  return EXIT_OK;
};

const sign: Run = async (args, context) => {
  const words = args.map((arg) => arg.startsWith("file:") ? Deno.readTextFileSync(arg.slice(5)).trim() : arg);
  if (words[0]?.startsWith("tskey-auth-")) return await wrap(words, context);
  if (words.length === 0 || words.length > 2) throw new UsageError("usage: lock sign <node-key> [<rotation-key>]");
  if (NodePublic.parse(words[0]) === undefined) throw new CliError("decoding node-key: want nodekey:<64 hex digits>");
  const rotation = words[1] === undefined ? undefined : LockPublic.parse(words[1]);
  if (words.length === 2 && rotation === undefined) {
    throw new CliError("decoding rotation-key: want tlpub:<64 hex digits>");
  }
  const RotationPublic = rotation === undefined ? null : toBase64(rotation.bytes);
  try {
    await context.client.text("POST", "tka/sign", { NodeKey: words[0], RotationPublic });
  } catch (error) {
    if (error instanceof LocalApiError && error.message.includes("this node is not trusted by Tailnet Lock")) {
      printError(
        "Error: Signing is not available on this device because it does not have a trusted tailnet lock key.\n\n" +
          "Try again on a signing device instead. Tailnet admins can see signing devices on the admin panel.\n\n",
      );
    }
    throw error;
  }
  return EXIT_OK;
};

const disable: Run = async (args, { client }) => {
  if (args.length !== 1) throw new UsageError("usage: lock disable <disablement-secret>");
  await client.bytes("POST", "tka/disable", parseSecret(args[0], 1));
  return EXIT_OK;
};

const localDisable: Run = async (args, { client }) => {
  if (args.length > 0) throw new UsageError("lock local-disable: unexpected argument");
  await client.text("POST", "tka/force-local-disable", {});
  return EXIT_OK;
};

const disablementKdf: Run = (args) => {
  if (args.length !== 1) throw new UsageError("usage: lock disablement-kdf <hex-encoded-disablement-secret>");
  print(`disablement:${toHex(disablementValue(hexArg(args[0], "secret")))}\n`);
  return Promise.resolve(EXIT_OK);
};

const revokeKeys: Run = async (args, { client, program }) => {
  const { values, rest } = parseFlags(REVOKE_FLAGS, args);
  const command = `${program} lock revoke-keys`;
  const hex = (bytes: Uint8Array) => toHex(bytes).toUpperCase();
  if (!values.cosign && !values.finish) {
    const keys = parseKeys(rest);
    const text = values["fork-from"];
    const parent = text.length === 64 ? aumHashOf(hexArg(text, "fork-from")) : parseAumHash(text);
    if (text !== "" && parent === undefined) throw new CliError("invalid fork-from hash: want hex or base32");
    const Keys = keys.map(({ key }) => toBase64(key.bytes));
    const aum = await client.bytes("POST", "tka/generate-recovery-aum", { Keys, ForkFrom: parent ?? "" });
    print(`Run the following command on another machine with a trusted tailnet lock key:\n`);
    print(`\t${command} --cosign ${hex(aum)}\n`);
    return EXIT_OK;
  }
  if (rest.length !== 1) throw new UsageError(`usage: lock revoke-keys [--cosign] [--finish] <recovery-blob>`);
  const recovery = hexArg(rest[0], "hex");
  if (values.cosign) {
    const aum = await client.bytes("POST", "tka/cosign-recovery-aum", recovery);
    print("Co-signing completed successfully.\n\n");
    print(
      "To accumulate an additional signature, run the following command on another machine with a trusted tailnet ",
    );
    print(`lock key:\n\t${command} --cosign ${hex(aum)}\n\n`);
    print("Alternatively if you are done with co-signing, complete recovery by running the following command:\n");
    print(`\t${command} --finish ${hex(aum)}\n`);
  }
  if (values.finish) {
    await client.bytes("POST", "tka/submit-recovery-aum", recovery);
    print("Recovery completed.\n");
  }
  return EXIT_OK;
};

/** What is wrong, and what to type; exit code 1 when something is. */
const doctor: Run = async (args, { client }) => {
  const { values } = parseFlags(DOCTOR_FLAGS, args);
  if (values.retry) await client.text("POST", "agent/lock/retry");
  const { Agent, Enabled, NodeKeySigned, TrustedKeys } = await lockStatus(client);
  if (Agent === undefined) throw new CliError("this daemon does not tell how it stands with the lock");
  print(`condition:  ${Agent.Condition}${Agent.Since === null ? "" : `, since ${Agent.Since}`}\n`);
  if (Agent.StateID !== "") print(`lock:       state ID ${Agent.StateID}, begun with ${Agent.Genesis}\n`);
  if (Agent.HeadSince !== null) print(`head:       unchanged since ${Agent.HeadSince}\n`);
  if (Enabled) print(`control:    confirmed the head ${Agent.ConfirmedByControl ?? "never"}\n`);
  print(`demanded:   ${Agent.LockRequired ? "a lock" : Agent.LockPins.length > 0 ? "this lock" : "nothing"}\n`);
  for (const pin of Agent.LockPins) print(`            ${pin}\n`);
  const troubles: string[] = [];
  if (Agent.Remedy !== "") troubles.push(`${Agent.Reason}\n  do: ${Agent.Remedy}`);
  if (Enabled && !NodeKeySigned) troubles.push("this node is locked out\n  do: sign it, see `lock status`");
  const keys = (TrustedKeys ?? []).length;
  if (keys >= 400) troubles.push(`${keys} of 512 keys are trusted\n  do: remove those of used auth keys`);
  const signers = (TrustedKeys ?? []).filter(({ Metadata }) => Metadata?.purpose !== "pre-auth key").length;
  if (Enabled && signers === 1) {
    troubles.push("one node alone can sign\n  do: add the key of a second one with `lock add`");
  }
  for (const trouble of troubles) print(`\n! ${trouble}\n`);
  if (troubles.length === 0) print("\nNothing is wrong.\n");
  return troubles.length === 0 ? EXIT_OK : EXIT_FAILED;
};

const SUBCOMMANDS: Readonly<Record<string, Run>> = {
  init,
  status,
  add,
  remove,
  sign,
  disable,
  "disablement-kdf": disablementKdf,
  log,
  "local-disable": localDisable,
  "revoke-keys": revokeKeys,
  doctor,
  "tskey-wrap": wrap,
};

export const lock: Verb = {
  help: `Usage: {program} lock <subcommand> [arguments...]

Manages Tailnet Lock: nodes are trusted only when a key that the nodes themselves hold has signed them.

  status            show the state of the lock (also without a subcommand)
${flagHelp(STATUS_FLAGS)}
  init KEY...       make a lock; KEY is tlpub:<hex>[?votes], this node's among them
${flagHelp(INIT_FLAGS)}
  sign NODE-KEY [LOCK-KEY]   sign a node; file:PATH reads an argument from a file
  sign AUTH-KEY     sign an auth key, and print it with its signature
  add KEY...        trust more signing keys
  remove KEY...     trust them no longer
${flagHelp(REMOVE_FLAGS)}
  log               list the changes of the lock
${flagHelp(LOG_FLAGS)}
  disable SECRET    end the lock for the whole tailnet; the secret is public from then on
  local-disable     end it on this node alone
  disablement-kdf HEX        derive the disablement value of a secret
  revoke-keys KEY...         take trust back from stolen keys as of before the theft
${flagHelp(REVOKE_FLAGS)}
  doctor            say what is wrong and what to do about it
${flagHelp(DOCTOR_FLAGS)}
`,
  async run(args, context) {
    const [name, ...rest] = args;
    if (name === undefined || name.startsWith("-")) return await status(args, context);
    if (!Object.hasOwn(SUBCOMMANDS, name)) {
      throw new UsageError(`${context.program} lock: unknown subcommand: ${name}`);
    }
    return await SUBCOMMANDS[name](rest, context);
  },
};
