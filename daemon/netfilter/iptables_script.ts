/**
 * The ruleset as lines for `iptables-restore --noflush`, and what `iptables-save` says of it. Pure. Where nft has a table
 * of ours, iptables has chains of ours in its tables, at the same places in the kernel:
 *
 *   input, forward that accept    filter  INPUT, FORWARD                        ─▶ agent-input, agent-forward
 *   drops and marks of our table  mangle  PREROUTING, INPUT, FORWARD, OUTPUT    ─▶ agent-prerouting, agent-input, …
 *   postrouting, services         nat     POSTROUTING, OUTPUT                   ─▶ agent-postrouting, …
 *
 * Each table is taken whole or not at all. Source: iptables-restore(8), iptables-extensions(8).
 */
import { MARK_MASK } from "../instance.ts";
import type { Instance } from "../instance.ts";
import type { OwnChain, Rule, Ruleset } from "./ruleset.ts";

type TableName = "filter" | "mangle" | "nat";
const TABLES: readonly TableName[] = ["filter", "mangle", "nat"];
const HOOKS: readonly OwnChain["hook"][] = ["prerouting", "input", "forward", "output", "postrouting", "services"];

/** A chain of ours, and the base chain that jumps to it. */
interface Chain {
  readonly table: TableName;
  readonly base: string;
  readonly name: string;
  readonly rules: readonly Rule[];
}

/** One table as it was saved: names of chains, and rules without counts. */
interface SavedTable {
  readonly chains: readonly string[];
  readonly rules: readonly { readonly chain: string; readonly text: string }[];
}

/** What the kernel holds of one family, by table. */
export type Saved = ReadonlyMap<string, SavedTable>;

/** Nothing. */
const EMPTY: SavedTable = { chains: [], rules: [] };

/** Reads what `iptables-save` printed. Lines it does not know are left out. */
export function parseSaved(text: string): Saved {
  const tables = new Map<string, { chains: string[]; rules: SavedTable["rules"][number][] }>();
  let table: { chains: string[]; rules: SavedTable["rules"][number][] } | undefined;
  for (const line of text.split("\n")) {
    if (line.startsWith("*")) tables.set(line.slice(1).trim(), table = { chains: [], rules: [] });
    const chain = /^:(\S+)/.exec(line)?.[1];
    if (chain !== undefined) table?.chains.push(chain);
    const rule = /^-A (\S+) ?(.*)$/.exec(line);
    if (rule !== null) table?.rules.push({ chain: rule[1], text: rule[2] });
  }
  return tables;
}

/** Somebody's rules are in it, or a policy that drops: not only tables that a program has looked at. */
export function isUsed(text: string): boolean {
  return /^-A /m.test(text) || /^:\S+ DROP/m.test(text);
}

const marked = (value: number) => `0x${value.toString(16)}/0x${MARK_MASK.toString(16)}`;
const STATES = { answers: "RELATED,ESTABLISHED", new: "NEW" };
const VERDICTS = { accept: "ACCEPT", drop: "DROP", return: "RETURN", masquerade: "MASQUERADE" };

function ruleText({ iif, notIif, oif, src, dst, tcp, udp, mark, ctMark, state, verdict }: Rule): string {
  const words: string[] = [];
  if (src !== undefined) words.push(`-s ${src}`);
  if (dst !== undefined) words.push(`-d ${dst}`);
  if (iif !== undefined) words.push(`-i ${iif}`);
  if (notIif !== undefined) words.push(`! -i ${notIif}`);
  if (oif !== undefined) words.push(`-o ${oif}`);
  if (tcp !== undefined) words.push(`-p tcp -m tcp --dport ${tcp}`);
  if (udp !== undefined) words.push("-p udp -m udp");
  if (udp?.sport !== undefined) words.push(`--sport ${udp.sport}`);
  if (udp?.dport !== undefined) words.push(`--dport ${udp.dport}`);
  if (state !== undefined) words.push(`-m conntrack --ctstate ${STATES[state]}`);
  if (mark !== undefined) words.push(`-m mark --mark ${marked(mark)}`);
  if (ctMark !== undefined) words.push(`-m connmark --mark ${marked(ctMark)}`);
  if (typeof verdict === "string") words.push(`-j ${VERDICTS[verdict]}`);
  else if ("setMark" in verdict) words.push(`-j MARK --set-xmark ${marked(verdict.setMark)}`);
  else if ("toPort" in verdict) {
    words.push(`-j DNAT --to-destination ${dst?.includes(":") ? `[${dst}]` : dst}:${verdict.toPort}`);
  } else words.push(`-j CONNMARK --set-xmark ${marked(verdict.saveMark)}`);
  return words.join(" ");
}

function wantedChains(family: 4 | 6, ruleset: Ruleset, { prefix }: Instance): Chain[] {
  const shared = ruleset.shared.filter((chain) => chain.family === family);
  const own = ruleset.own.filter((chain) => chain.family === family);
  return [
    ...shared.map(({ base, name, rules }): Chain => ({ table: "filter", base, name, rules })),
    ...own.map(({ hook, rules }): Chain => {
      return {
        table: tableOf(hook),
        base: hook === "services" ? "OUTPUT" : hook.toUpperCase(),
        name: `${prefix}-${hook}`,
        rules,
      };
    }),
  ];
}

function tableOf(hook: OwnChain["hook"]): TableName {
  return hook === "postrouting" || hook === "services" ? "nat" : "mangle";
}

/** Chains an instance can have, whatever the table. */
function possibleNames({ prefix }: Instance): Set<string> {
  return new Set(HOOKS.map((hook) => `${prefix}-${hook}`));
}

/** Lines that make the kernel hold the ruleset, from what it holds; "" for nothing to do. Ours of before are replaced. */
export function restoreScript(instance: Instance, ruleset: Ruleset, family: 4 | 6, saved: Saved): string {
  const names = possibleNames(instance);
  const wanted = wantedChains(family, ruleset, instance);
  const lines: string[] = [];
  for (const table of TABLES) {
    const { chains: there, rules } = saved.get(table) ?? EMPTY;
    const ours = wanted.filter((chain) => chain.table === table);
    const old = there.filter((name) => names.has(name) && !ours.some((chain) => chain.name === name));
    const jumps = rules.filter(({ text }) => names.has(jumpTarget(text) ?? ""));
    if (ours.length + old.length + jumps.length === 0) continue;
    lines.push(`*${table}`);
    // Naming a chain makes it, or empties it.
    for (const { name } of ours) lines.push(`:${name} - [0:0]`);
    for (const { chain, text } of jumps) lines.push(`-D ${chain} ${text}`);
    for (const name of old) lines.push(`-F ${name}`, `-X ${name}`);
    for (const { name, rules } of ours) for (const rule of rules) lines.push(`-A ${name} ${ruleText(rule)}`);
    if (ruleset.jumps) { for (const { base, name } of ours) lines.push(`-I ${base} 1 -j ${name}`); }
    lines.push("COMMIT");
  }
  return lines.map((line) => `${line}\n`).join("");
}

function jumpTarget(text: string): string | undefined {
  return /(?:^| )-j (\S+)$/.exec(text)?.[1];
}

/**
 * What of an instance the kernel holds, as text to compare: rules of its chains, and whether the jumps to them stand ahead
 * of all but other instances' (rules of others before ours could drop what is ours).
 */
export function savedPrint(instance: Instance, saved: Saved): string {
  const names = possibleNames(instance);
  const print: string[] = [];
  for (const table of TABLES) {
    const { chains, rules } = saved.get(table) ?? EMPTY;
    for (const name of chains.filter((one) => names.has(one)).sort()) {
      print.push(`${table} ${name}`, ...rules.filter(({ chain }) => chain === name).map(({ text }) => text));
    }
    for (const base of new Set(rules.map(({ chain }) => chain))) {
      const targets = rules.filter(({ chain }) => chain === base).map(({ text }) => jumpTarget(text) ?? "");
      const at = targets.findIndex((target) => names.has(target));
      if (at < 0) continue;
      const first = targets.slice(0, at).every((target) => target.startsWith("agent-"));
      print.push(`${table} ${base} ${first ? "first" : "displaced"} ${targets.filter((one) => names.has(one)).length}`);
    }
  }
  return print.join("\n");
}
