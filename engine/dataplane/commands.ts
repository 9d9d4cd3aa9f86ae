/**
 * What each command of the main thread does to the parts of the plane. A configuration comes as many of them, each small:
 * one a peer, and the packet filter in pieces, which is used when its last has come.
 */
import { fromHex } from "../../base/bytes.ts";
import { parseAddrPort } from "../../base/ip.ts";
import { NodePrivate } from "../../base/keys.ts";
import type { FilterRuleConfig } from "../config.ts";
import { compileFilter } from "../filter/filter.ts";
import { FlowCache } from "../filter/flows.ts";
import type { Magicsock } from "../magicsock/magicsock.ts";
import type { StunGate } from "../magicsock/stun_gate.ts";
import type { AddrTable } from "../ports.ts";
import type { WgDevice } from "../wg/device.ts";
import type { Peers } from "./peers.ts";
import type { Receive } from "./receive.ts";
import type { Command, StatusTotals, WorkerEvent } from "./records.ts";
import { relaySession } from "./relay_records.ts";
import type { Sender } from "./sender.ts";
import type { StatusEvents } from "./status_events.ts";
import type { Transmit } from "./transmit.ts";
import type { TsmpPings } from "./tsmp_pings.ts";

/** Who carries commands out. */
export interface CommandsOptions {
  readonly addrs: AddrTable;
  readonly peers: Peers;
  readonly wg: WgDevice;
  readonly magicsock: Magicsock;
  readonly sender: Sender;
  readonly transmit: Transmit;
  readonly receive: Receive;
  readonly stunGate: StunGate;
  readonly pings: TsmpPings;
  readonly status: StatusEvents;
  totals(): StatusTotals;
  emit(event: WorkerEvent): void;
  /** Closes the sockets and opens others. */
  rebind(): void;
  /** Whether the sockets may have any port. */
  useAnyPort(anyPort: boolean): void;
  stop(): void;
}

export class Commands {
  readonly #parts: CommandsOptions;
  readonly #flows = new FlowCache();
  /** Rules of a filter whose last have not come. */
  #filterRules: FilterRuleConfig[] = [];

  constructor(parts: CommandsOptions) {
    this.#parts = parts;
    // Until control says what is allowed, nothing is.
    this.#useFilter([], [], true);
  }

  /** @param record what the command was read from, borrowed */
  run(command: Command, record: Uint8Array, now: number): void {
    const { addrs, peers, magicsock, sender, stunGate, pings, status, totals, emit } = this.#parts;
    switch (command.kind) {
      case "self":
        return this.#useSelf(command);
      case "peer":
        if (peers.upsert(record, command.peer) !== undefined) magicsock.upsertPeer(command.peer, now);
        return;
      case "peer-gone":
        return this.#removePeer(command.key, now);
      case "filter":
        this.#filterRules.push(...command.rules);
        if (command.last) {
          this.#useFilter(this.#filterRules, command.local, command.shieldsUp);
          this.#filterRules = [];
        }
        return;
      case "endpoints": {
        const own = command.endpoints.map(({ addr }) => parseAddrPort(addr)).filter((addr) => addr !== undefined);
        return magicsock.setLocalEndpoints(own, command.fresh, now);
      }
      case "derp-peer-gone":
        return magicsock.derpPeerGone(command.region, command.key);
      case "stun": {
        const to = parseAddrPort(command.to);
        if (to === undefined) return;
        const message = fromHex(command.payload)!;
        stunGate.sent(message, now);
        return sender.sendUdp(addrs.intern(to.ip, to.port), message);
      }
      case "relay-session": {
        const { request: { peer, disco, generation }, session } = command;
        peers.byKey(peer);
        return magicsock.answerRelayRequest(peer, disco, generation, relaySession(session), now);
      }
      case "ping":
        peers.byKey(command.key);
        return magicsock.ping(command.key, command.size, command.timeoutMs, now, (outcome) => {
          emit({ kind: "ping", id: command.id, outcome });
        });
      case "tsmp-ping":
        return pings.ping(command.address, command.timeoutMs, now, (outcome) => {
          emit({ kind: "ping", id: command.id, outcome });
        });
      case "status":
        return status.all(command.id, totals(), now);
      case "path-report": {
        const report = peers.byKey(command.key)?.endpoint.report(now);
        return emit({ kind: "path-report", id: command.id, ...(report !== undefined && { report }) });
      }
      case "heartbeat":
        return emit({ kind: "heartbeat" });
      case "rebind":
        return this.#parts.rebind();
      case "stop":
        return this.#parts.stop();
    }
  }

  #useSelf({ privateKey, addresses, homeDerp, relay, knobs }: Command & { kind: "self" }): void {
    const { wg, magicsock, pings, useAnyPort } = this.#parts;
    const key = new NodePrivate(fromHex(privateKey)!);
    magicsock.silentDisco = knobs?.silentDisco === true;
    useAnyPort(knobs?.randomizePort === true);
    wg.setPrivateKey(key);
    magicsock.setSelf(key.public, homeDerp, relay);
    pings.addresses = addresses;
  }

  #removePeer(key: string, now: number): void {
    const { peers, receive, wg, magicsock } = this.#parts;
    // What is still being opened is judged by numbers, and this peer's may be another's next.
    receive.flushDerp(now);
    const peer = peers.remove(key);
    if (peer === undefined) return;
    wg.removePeer(peer.wg);
    magicsock.removePeer(key);
  }

  #useFilter(rules: readonly FilterRuleConfig[], local: readonly string[], shieldsUp: boolean): void {
    const { transmit, receive } = this.#parts;
    const filter = compileFilter({ rules, local, shieldsUp }, this.#flows);
    transmit.filter = filter;
    receive.filter = filter;
    receive.jailFilter = compileFilter({ rules: [], local, shieldsUp: true }, this.#flows);
  }
}
