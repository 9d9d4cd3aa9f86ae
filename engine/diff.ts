/**
 * Two engine configurations to the commands that lead from one to the other, so that a netmap in which one of 10,000
 * peers changed costs one command.
 */
import type { EngineConfig, FilterConfig, FilterRuleConfig, PeerConfig } from "./config.ts";
import type { Command } from "./dataplane/records.ts";

/** Rules in one filter command; a policy of thousands of rules reaches the worker in parts. */
const RULES_PER_COMMAND = 50;

/** True when both lists hold the same texts in the same order. */
export function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((text, i) => text === b[i]));
}

function samePeer(a: PeerConfig, b: PeerConfig): boolean {
  return a === b ||
    (a.key === b.key && a.relay?.serves === b.relay?.serves && a.relay?.mayAsk === b.relay?.mayAsk &&
      a.disco === b.disco && a.derp === b.derp && a.jailed === b.jailed && a.cap === b.cap &&
      sameTexts(a.allowedIps, b.allowedIps) && sameTexts(a.endpoints, b.endpoints) &&
      sameTexts(a.addresses, b.addresses));
}

function sameRule(a: FilterRuleConfig, b: FilterRuleConfig): boolean {
  return sameTexts(a.sources, b.sources) &&
    a.protocols.length === b.protocols.length && a.protocols.every((protocol, i) => protocol === b.protocols[i]) &&
    a.destinations.length === b.destinations.length &&
    a.destinations.every((to, i) => {
      const other = b.destinations[i];
      return to.prefix === other.prefix && to.first === other.first && to.last === other.last;
    });
}

function sameFilter(a: FilterConfig, b: FilterConfig): boolean {
  return a === b || (a.shieldsUp === b.shieldsUp && sameTexts(a.local, b.local) &&
    a.rules.length === b.rules.length && a.rules.every((rule, i) => sameRule(rule, b.rules[i])));
}

/**
 * The commands for `next`, given what the worker has. Order matters: who we are first, then peers that leave (an
 * address may pass from one to another), then the filter, so that no peer that comes or changes is ever judged by the
 * old rules, then those peers.
 */
export function* configCommands(previous: EngineConfig | undefined, next: EngineConfig): Generator<Command> {
  const filterChanged = previous === undefined || !sameFilter(previous.filter, next.filter);
  if (
    previous === undefined || previous.privateKey !== next.privateKey || previous.homeDerp !== next.homeDerp ||
    previous.relay?.client !== next.relay?.client || previous.relay?.self !== next.relay?.self ||
    previous.knobs?.silentDisco !== next.knobs?.silentDisco ||
    previous.knobs?.randomizePort !== next.knobs?.randomizePort ||
    !sameTexts(previous.addresses, next.addresses)
  ) {
    const { privateKey, addresses, homeDerp, relay, knobs } = next;
    yield {
      ...{ kind: "self", privateKey, addresses, homeDerp },
      ...(relay !== undefined && { relay }),
      ...(knobs !== undefined && { knobs }),
    };
  }
  const before = new Map(previous?.peers.map((peer) => [peer.key, peer]));
  const keep = new Set(next.peers.map((peer) => peer.key));
  for (const key of before.keys()) if (!keep.has(key)) yield { kind: "peer-gone", key };
  if (filterChanged) yield* filterCommands(next.filter);
  for (const peer of next.peers) {
    const old = before.get(peer.key);
    if (old === undefined || !samePeer(old, peer)) yield { kind: "peer", peer };
  }
}

function* filterCommands({ rules, local, shieldsUp }: FilterConfig): Generator<Command> {
  for (let at = 0; at === 0 || at < rules.length; at += RULES_PER_COMMAND) {
    const part = rules.slice(at, at + RULES_PER_COMMAND);
    yield { kind: "filter", rules: part, last: at + RULES_PER_COMMAND >= rules.length, local, shieldsUp };
  }
}
