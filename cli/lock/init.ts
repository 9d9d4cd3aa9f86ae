/**
 * `lock init`: makes a lock. Source of its texts: cli.runTailnetLockInit.
 *
 *   without --confirm      says what would be done, as Tailscale does
 *   one signing key        a risk to be accepted by name: when that node is lost nobody can sign
 *   on a terminal          the secrets are shown first, and one is typed again, before there is a lock to be lost with them
 *
 * Called as `tailscale` it asks for no more than Tailscale does.
 */
import { toBase64, toHex } from "../../base/bytes.ts";
import { systemRandom } from "../../base/system.ts";
import { disablementValue } from "../../tka/disablement.ts";
import { ACCEPT_RISK_FLAG, askRisk } from "../accept_risk.ts";
import { CliError, EXIT_OK, UsageError } from "../exit_codes.ts";
import { parseFlags } from "../flags.ts";
import { print } from "../terminal.ts";
import { keyJson, parseKeysAndValues } from "./args.ts";
import { lockStatus, refusedAs } from "./command.ts";
import type { Run } from "./command.ts";

export const INIT_FLAGS = {
  "gen-disablements": { type: "number", help: "number of disablement secrets to generate", fallback: 1 },
  "gen-disablement-for-support": { type: "boolean", help: "generate one more and send it to the control server" },
  confirm: { type: "boolean", help: "do it" },
  "accept-risk": { ...ACCEPT_RISK_FLAG, help: "do not ask before: one-signer, unwritten-secret, or all" },
} as const;

const ONE_SIGNER =
  "Only this node will be able to sign: when it is lost, no node can join or change its key, and a disablement secret\n" +
  "is the only way out. Name the key of a second node too, or one from `agent lock keygen` that lies in a safe.";

/** Digits of a secret that prove somebody has it in front of them. */
const PROOF = 6;

/** Has the operator type the end of a secret. @throws CliError when it is not typed. */
function requireWritten(secret: Uint8Array): void {
  const end = toHex(secret).slice(-PROOF).toUpperCase();
  for (let tries = 0; tries < 3; tries++) {
    const typed = prompt(`Put them where they outlive this machine, then type the last ${PROOF} digits of the first:`);
    if (typed === null) break;
    if (typed.trim().toUpperCase() === end) return;
    print("That is not how the first one ends.\n");
  }
  throw new CliError("aborted, no changes made: the secrets above are worth nothing");
}

export const init: Run = async (args, { client, program }) => {
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
  if (count + disablements.length === 0 && !support) {
    throw new CliError("a lock needs a way out: at least one disablement secret, or disablement:<value> of one");
  }
  print("You are initializing tailnet lock with the following trusted signing keys:\n");
  for (const { key } of keys) print(` - ${key.cliString()} (25519 key)\n`);
  print("\n");
  const oneSigner = new Set(keys.map(({ key }) => key.toString())).size === 1;
  if (!values.confirm) {
    if (oneSigner && program === "agent") print(`${ONE_SIGNER}\n\n`);
    print(`${count} disablement secrets will be generated.\n`);
    if (support) print("A disablement secret will be generated and transmitted to Tailscale support.\n");
    const flag = support ? "--gen-disablement-for-support " : "";
    print("\nIf this is correct, please re-run this command with the --confirm flag:\n");
    print(`\t${program} lock init --confirm --gen-disablements ${count} ${flag}${rest.join(" ")}\n`);
    return EXIT_OK;
  }
  if (oneSigner && program === "agent") askRisk("one-signer", ONE_SIGNER, values["accept-risk"]);
  const secrets = Array.from({ length: count }, () => systemRandom(32));
  const forSupport = support ? systemRandom(32) : undefined;
  const shown = `${count} disablement secrets have been generated and are printed below. ` +
    "Take note of them now, they WILL NOT be shown again.\n" +
    secrets.map((secret) => `\tdisablement-secret:${toHex(secret).toUpperCase()}\n`).join("");
  const accepted = values["accept-risk"].split(",").some((risk) => risk === "unwritten-secret" || risk === "all");
  const first = program === "agent" && secrets.length > 0 && Deno.stdin.isTerminal() && !accepted;
  if (first) {
    print(shown);
    requireWritten(secrets[0]);
  }
  const derived = [...secrets, ...(forSupport ? [forSupport] : [])].map(disablementValue);
  await refusedAs(
    "error",
    client.text("POST", "tka/init", {
      Keys: keys.map(keyJson),
      DisablementValues: [...disablements, ...derived].map((value) => toBase64(value)),
      SupportDisablement: forSupport === undefined ? null : toBase64(forSupport),
    }),
  );
  if (!first) print(shown);
  if (support) {
    print("A disablement secret for Tailscale support has been generated and transmitted to Tailscale.\n");
  }
  print("Initialization complete.\n");
  return EXIT_OK;
};
