/**
 * The ruleset as a script for `nft -f -`, which the kernel takes whole or not at all; and what `nft -j list ruleset` says
 * of it. Pure. Source: nft(8), libnftables-json(5).
 */
import { MARK_MASK } from "../instance.ts";
import type { Instance } from "../instance.ts";
import type { Rule, Ruleset, SharedChain } from "./ruleset.ts";

const FAMILY = { 4: "ip", 6: "ip6" } as const;
/** Hook and priority of the base chains, as iptables makes them. */
const BASES = {
  INPUT: "type filter hook input priority 0",
  FORWARD: "type filter hook forward priority 0",
} as const;
/** Of our own: after conntrack (-200), and before the decisions that look at a mark. */
const OWN_HOOKS = {
  prerouting: "type filter hook prerouting priority -150",
  input: "type filter hook input priority -150",
  forward: "type filter hook forward priority -150",
  output: "type route hook output priority -150",
  postrouting: "type nat hook postrouting priority 99",
  services: "type nat hook output priority -100",
} as const;
/** iptables' table, where the accepts are. */
const SHARED = "filter";
/** Begins the name of an empty chain in our table, which remembers that nobody had made that base chain before us. */
const MADE = "made-";
/** The same for the table itself. */
const TABLE = "table";
/** firewalld judges after iptables' chains, so an accept there does not count here. */
const FIREWALLD = "firewalld";

/** A rule as nft reports it. */
interface SeenRule {
  readonly family: string;
  readonly table: string;
  readonly chain: string;
  readonly handle: number;
  readonly comment?: string;
  readonly expr: readonly Record<string, unknown>[];
}

interface SeenChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  readonly hook?: string;
}

/** What the kernel holds, as far as we look at it. */
export interface Seen {
  readonly tables: readonly { readonly family: string; readonly name: string; readonly flags?: unknown }[];
  readonly chains: readonly SeenChain[];
  readonly rules: readonly SeenRule[];
}

/** Reads the JSON of `nft -j -t list ruleset`. @throws SyntaxError */
export function parseSeen(json: string): Seen {
  const { nftables = [] } = JSON.parse(json) as { nftables?: Record<string, unknown>[] };
  const all = <T>(kind: string) => nftables.flatMap((item) => item[kind] === undefined ? [] : [item[kind] as T]);
  return { tables: all("table"), chains: all("chain"), rules: all("rule") };
}

const hex = (value: number) => `0x${value.toString(16)}`;
const KEEP = hex((0xffffffff ^ MARK_MASK) >>> 0);
const STATES = { answers: "established,related", new: "new" };

function ruleText(family: 4 | 6, rule: Rule): string {
  const { iif, notIif, oif, src, dst, tcp, udp, mark, ctMark, state, verdict } = rule;
  const words: string[] = [];
  if (iif !== undefined) words.push(`iifname "${iif}"`);
  if (notIif !== undefined) words.push(`iifname != "${notIif}"`);
  if (oif !== undefined) words.push(`oifname "${oif}"`);
  if (src !== undefined) words.push(`${FAMILY[family]} saddr ${src}`);
  if (dst !== undefined) words.push(`${FAMILY[family]} daddr ${dst}`);
  if (tcp !== undefined) words.push(`tcp dport ${tcp}`);
  if (udp?.sport !== undefined) words.push(`udp sport ${udp.sport}`);
  if (udp?.dport !== undefined) words.push(`udp dport ${udp.dport}`);
  if (state !== undefined) words.push(`ct state ${STATES[state]}`);
  if (mark !== undefined) words.push(`meta mark and ${hex(MARK_MASK)} == ${hex(mark)}`);
  if (ctMark !== undefined) words.push(`ct mark and ${hex(MARK_MASK)} == ${hex(ctMark)}`);
  words.push("counter");
  if (typeof verdict === "string") words.push(verdict);
  else if ("setMark" in verdict) words.push(`meta mark set meta mark and ${KEEP} xor ${hex(verdict.setMark)}`);
  else if ("toPort" in verdict) words.push(`dnat to ${family === 6 ? `[${dst}]` : dst}:${verdict.toPort}`);
  else words.push(`ct mark set ct mark and ${KEEP} xor ${hex(verdict.saveMark)}`);
  return words.join(" ");
}

function jumpTarget(rule: SeenRule): string | undefined {
  for (const expression of rule.expr) {
    const jump = expression.jump as { target?: string } | undefined;
    if (jump?.target !== undefined) return jump.target;
  }
  return undefined;
}

function rulesIn(seen: Seen, family: string, table: string, chain: string): SeenRule[] {
  return seen.rules.filter((rule) => rule.family === family && rule.table === table && rule.chain === chain);
}

/** The chains an instance can have in iptables' table. */
function places(instance: Instance): (Omit<SharedChain, "rules"> & { readonly at: string })[] {
  const { prefix } = instance;
  return ([4, 6] as const).flatMap((family) => {
    const at = `${FAMILY[family]} ${SHARED}`;
    return [
      { family, at, base: "INPUT", name: `${prefix}-input` } as const,
      { family, at, base: "FORWARD", name: `${prefix}-forward` } as const,
    ];
  });
}

/** Commands that delete our jumps, and our rules in firewalld's chains. */
function unhook(instance: Instance, seen: Seen): string[] {
  const jumps = places(instance).flatMap(({ family, base, name }) =>
    rulesIn(seen, FAMILY[family], SHARED, base).filter((rule) => jumpTarget(rule) === name)
  );
  const guests = seen.rules.filter(({ table, comment }) => table === FIREWALLD && comment === instance.prefix);
  return [...jumps, ...guests].map(({ family, table, chain, handle }) =>
    `delete rule ${family} ${table} ${chain} handle ${handle}`
  );
}

/** Commands that take all of an instance away, and the base chains made for it when nothing else is in them. */
export function removalScript(instance: Instance, seen: Seen): string {
  const commands = unhook(instance, seen);
  const ours = places(instance).filter(({ family, name }) =>
    seen.chains.some((chain) => chain.family === FAMILY[family] && chain.table === SHARED && chain.name === name)
  );
  for (const { at, name } of ours) commands.push(`flush chain ${at} ${name}`);
  for (const { at, name } of ours) commands.push(`delete chain ${at} ${name}`);
  for (const family of ["ip", "ip6"]) {
    if (hasTable(seen, family, instance.prefix)) commands.push(`delete table ${family} ${instance.prefix}`);
    if (!hasTable(seen, family, SHARED)) continue;
    const chains = seen.chains.filter((chain) => chain.family === family && chain.table === SHARED);
    const gone = new Set(ours.filter((one) => FAMILY[one.family] === family).map(({ name }) => name));
    const idle = chains.filter(({ name }) =>
      wasMade(instance, seen, family, name) &&
      rulesIn(seen, family, SHARED, name).every((rule) => gone.has(jumpTarget(rule) ?? ""))
    );
    for (const { name } of idle) commands.push(`delete chain ${family} ${SHARED} ${name}`);
    if (
      wasMade(instance, seen, family, TABLE) && chains.every((chain) => gone.has(chain.name) || idle.includes(chain))
    ) {
      commands.push(`delete table ${family} ${SHARED}`);
    }
  }
  return lines(commands);
}

function hasTable(seen: Seen, family: string, name: string): boolean {
  return seen.tables.some((table) => table.family === family && table.name === name);
}

function wasMade({ prefix }: Instance, seen: Seen, family: string, base: string): boolean {
  return seen.chains.some((one) => one.family === family && one.table === prefix && one.name === MADE + base);
}

function lines(commands: readonly string[]): string {
  return commands.map((command) => `${command}\n`).join("");
}

/** What firewalld needs besides, where it runs; it judges the same packets again. */
function firewalldRules(instance: Instance, ruleset: Ruleset, tun: string, seen: Seen): string[] {
  if (!ruleset.jumps || isOwned(seen)) return [];
  const chain = (name: string) => seen.chains.some((one) => one.table === FIREWALLD && one.name === name);
  const insert = (name: string, what: string) =>
    `insert rule inet ${FIREWALLD} ${name} ${what} counter accept comment "${instance.prefix}"`;
  return [
    ...(chain("filter_INPUT") ? [insert("filter_INPUT", `iifname "${tun}"`)] : []),
    ...(chain("filter_FORWARD")
      ? [insert("filter_FORWARD", `iifname "${tun}"`), insert("filter_FORWARD", `oifname "${tun}"`)]
      : []),
  ];
}

/** firewalld keeps its table for itself alone (its setting NftablesTableOwner): then only it can let us in. */
export function isOwned(seen: Seen): boolean {
  return seen.tables.some(({ name, flags }) => name === FIREWALLD && JSON.stringify(flags ?? "").includes("owner"));
}

/** Commands that make the kernel hold the ruleset, from what it holds. Ours of before are replaced. */
export function applyScript(instance: Instance, ruleset: Ruleset, tun: string, seen: Seen): string {
  // Without jumps the base chains made for them have no use.
  const before = ruleset.jumps ? lines(replaced(instance, seen)) : removalScript(instance, seen);
  return before + additions(instance, ruleset, tun, seen);
}

/** Commands that take our jumps and our own tables away, which are made anew. */
function replaced(instance: Instance, seen: Seen): string[] {
  const tables = ["ip", "ip6"].filter((family) => hasTable(seen, family, instance.prefix));
  return [...unhook(instance, seen), ...tables.map((family) => `delete table ${family} ${instance.prefix}`)];
}

function additions(instance: Instance, ruleset: Ruleset, tun: string, seen: Seen): string {
  const commands: string[] = [];
  const made: string[] = [];
  for (const { family, base, name, rules } of ruleset.shared) {
    const at = `${FAMILY[family]} ${SHARED}`;
    commands.push(`add table ${at}`);
    const own = `${FAMILY[family]} ${instance.prefix}`;
    if (!hasTable(seen, FAMILY[family], SHARED) || wasMade(instance, seen, FAMILY[family], TABLE)) {
      made.push(`${own} ${MADE}${TABLE}`);
    }
    const there = seen.chains.some((one) => `${one.family} ${one.table} ${one.name}` === `${at} ${base}`);
    if (ruleset.jumps && !there) commands.push(`add chain ${at} ${base} { ${BASES[base]}; policy accept; }`);
    if (ruleset.jumps && (!there || wasMade(instance, seen, FAMILY[family], base))) {
      made.push(`${own} ${MADE}${base}`);
    }
    commands.push(`add chain ${at} ${name}`, `flush chain ${at} ${name}`);
    for (const rule of rules) commands.push(`add rule ${at} ${name} ${ruleText(family, rule)}`);
    if (ruleset.jumps) commands.push(`insert rule ${at} ${base} counter jump ${name}`);
  }
  for (const family of [4, 6] as const) {
    const table = `${FAMILY[family]} ${instance.prefix}`;
    const chains = ruleset.own.filter((chain) => chain.family === family);
    const markers = made.filter((chain) => chain.startsWith(`${table} `));
    if (chains.length + markers.length > 0) commands.push(`add table ${table}`);
    for (const marker of markers) commands.push(`add chain ${marker}`);
    for (const { hook, rules } of chains) {
      commands.push(`add chain ${table} ${hook} { ${OWN_HOOKS[hook]}; }`);
      for (const rule of rules) commands.push(`add rule ${table} ${hook} ${ruleText(family, rule)}`);
    }
  }
  commands.push(...firewalldRules(instance, ruleset, tun, seen));
  return lines(commands);
}

function withoutCounts(rule: SeenRule): string {
  return JSON.stringify(rule.expr.filter((expression) => expression.counter === undefined));
}

/**
 * What of an instance the kernel holds, as text to compare: chains and rules, and whether its jumps stand ahead of all but
 * other instances' (rules of others before ours could drop what is ours).
 */
export function fingerprint(instance: Instance, seen: Seen): string {
  const print: string[] = [];
  for (const { family, base, name } of places(instance)) {
    const at = rulesIn(seen, FAMILY[family], SHARED, base);
    const jump = at.findIndex((rule) => jumpTarget(rule) === name);
    const first = jump >= 0 && at.slice(0, jump).every((rule) => /^agent-/.test(jumpTarget(rule) ?? ""));
    print.push(`${family} ${name} ${jump < 0 ? "no jump" : first ? "first" : "displaced"}`);
    print.push(...rulesIn(seen, FAMILY[family], SHARED, name).map(withoutCounts));
  }
  const own = seen.rules.filter(({ table, comment }) =>
    table === instance.prefix || (table === FIREWALLD && comment === instance.prefix)
  );
  print.push(...own.map((rule) => `${rule.family} ${rule.table} ${rule.chain} ${withoutCounts(rule)}`));
  // firewalld that came later has chains that ours is to be in.
  const late = seen.chains.filter(({ table, hook }) => table === FIREWALLD && hook !== undefined);
  print.push(...late.map(({ name }) => name));
  return print.join("\n");
}
