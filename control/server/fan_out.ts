/**
 * Changes of the tailnet to every open map poll.
 *
 * ```
 *   change ─▶ marked in each poll's pending set ─(at most once in coalesceMs)─▶ one message a poll, built from the
 *                                                               tailnet as it is then;
 *                                                               poll still writing: waits, its set goes on collecting
 * ```
 * A pending set holds node IDs and what changed of each, not messages, so it is never larger than the tailnet and a
 * node that changes a hundred times while a poll is slow costs that poll one entry. Past `maxPending` the set is
 * dropped and the poll gets the whole map instead. Polls with the same set share one message object, and so one
 * encoding of it.
 */
import type { Scheduler, Timer } from "../../base/clock.ts";
import { goTime } from "../wire/tailcfg.ts";
import type { MapResponse, Node, PeerChange } from "../wire/tailcfg.ts";
import type { MapBuilder } from "./map_builder.ts";
import { isExpired } from "./node_record.ts";
import type { NodeView } from "./node_record.ts";
import { changesRelays, packetFilter, relayAddresses } from "./packet_filter.ts";
import { ASPECT, isPatchable, peerAspects, selfChanged } from "./peer_delta.ts";
import type { NodeChange, Tailnet } from "./tailnet.ts";

/** One open map poll. */
export interface Subscriber {
  readonly nodeId: number;
  /** Takes a message. False: not ready for another until it has called `ready()`. */
  send(message: MapResponse): boolean;
  /** The poll is over: replaced, or its node is gone. Nothing is sent after it. */
  end(): void;
}

/** A subscriber's way to talk back. */
export interface Subscription {
  /** It can take messages again. */
  ready(): void;
  /** It is gone. */
  cancel(): void;
}

export interface FanOutOptions {
  readonly tailnet: Tailnet;
  readonly builder: MapBuilder;
  readonly scheduler: Scheduler;
  /** After one sending, how long changes are collected for the next, ms. */
  readonly coalesceMs: number;
  /** Pending nodes of one poll from which on it gets a full map. */
  readonly maxPending: number;
}

interface Poll {
  readonly subscriber: Subscriber;
  busy: boolean;
  /** The node's own entry is to be sent. */
  self: boolean;
  /** How Tailnet Lock is, is to be sent. */
  lock: boolean;
  /** The packet filter is to be sent. */
  filter: boolean;
  /** Everything is to be sent again. */
  full: boolean;
  /** Aspects by node ID. */
  pending: Map<number, number>;
}

/** What the polls of one sending have in common. */
interface Shared {
  /** By what is pending. */
  readonly messages: Map<string, MapResponse>;
  /** Addresses of the nodes that relay, once somebody needs them. */
  relays: readonly string[] | undefined;
}

/** All open polls; listens to the tailnet from its construction on. */
export class FanOut {
  readonly #options: FanOutOptions;
  readonly #polls = new Map<number, Poll>();
  readonly #dirty = new Set<Poll>();
  #timer: Timer | undefined;
  /** Monotonic time before which nothing is sent; a change after a quiet time goes out at once. */
  #notBefore = 0;

  constructor(options: FanOutOptions) {
    this.#options = options;
    options.tailnet.listen((changes) => this.#publish(changes));
  }

  /** Number of open polls. */
  get size(): number {
    return this.#polls.size;
  }

  /** Sends the whole map at once, then changes. An older poll of the same node is ended: a node has one. */
  subscribe(subscriber: Subscriber): Subscription {
    const older = this.#polls.get(subscriber.nodeId);
    if (older !== undefined) this.#end(older);
    const poll: Poll = {
      subscriber,
      busy: false,
      self: false,
      lock: false,
      filter: false,
      full: true,
      pending: new Map(),
    };
    this.#polls.set(subscriber.nodeId, poll);
    this.#send(poll, { messages: new Map(), relays: undefined });
    return {
      ready: () => {
        poll.busy = false;
        if (this.#dirty.has(poll)) this.#schedule();
      },
      cancel: () => this.#forget(poll),
    };
  }

  /** Sends how Tailnet Lock is, to one node or to all: those that find theirs behind then ask for what they lack. */
  announceLock(nodeId?: number): void {
    const polls = nodeId === undefined ? this.#polls.values() : [this.#polls.get(nodeId)];
    for (const poll of polls) if (poll !== undefined) this.#mark(poll, () => poll.lock = true);
    if (this.#dirty.size > 0) this.#schedule();
  }

  /** Ends every poll. */
  close(): void {
    this.#timer?.cancel();
    for (const poll of [...this.#polls.values()]) this.#end(poll);
  }

  #publish(changes: readonly NodeChange[]): void {
    for (const change of changes) {
      const id = (change.after ?? change.before)!.record.id;
      if (changesRelays(change)) {
        for (const poll of this.#polls.values()) {
          this.#mark(poll, () => poll.filter = true);
        }
      }
      const aspects = peerAspects(change);
      const self = this.#polls.get(id);
      if (self !== undefined && selfChanged(change)) {
        if (change.after === undefined) this.#farewell(self, change.before!);
        else this.#mark(self, (poll) => poll.self = true);
      }
      if (aspects === 0) continue;
      for (const poll of this.#polls.values()) {
        if (poll.subscriber.nodeId === id) continue;
        this.#mark(poll, () => poll.pending.set(id, (poll.pending.get(id) ?? 0) | aspects));
      }
    }
    if (this.#dirty.size > 0) this.#schedule();
  }

  #mark(poll: Poll, note: (poll: Poll) => void): void {
    this.#dirty.add(poll);
    note(poll);
    if (poll.full) return poll.pending.clear();
    if (poll.pending.size > this.#options.maxPending) {
      poll.full = true;
      poll.pending.clear();
    }
  }

  #schedule(): void {
    const { scheduler, coalesceMs } = this.#options;
    this.#timer ??= scheduler.after(Math.max(0, this.#notBefore - scheduler.monotonic()), () => {
      this.#timer = undefined;
      this.#notBefore = scheduler.monotonic() + coalesceMs;
      const shared: Shared = { messages: new Map(), relays: undefined };
      for (const poll of [...this.#dirty]) if (!poll.busy) this.#send(poll, shared);
    });
  }

  /** Sends what is pending, if the node still is. */
  #send(poll: Poll, shared: Shared): void {
    const { tailnet, builder, scheduler } = this.#options;
    const self = tailnet.nodes.get(poll.subscriber.nodeId);
    if (self === undefined) return this.#end(poll);
    const first = !this.#dirty.delete(poll);
    const now = scheduler.wall();
    const expired = isExpired(self.record, now);
    let message: MapResponse;
    if (expired && !first) {
      if (!poll.self && !poll.lock) return;
      message = { Node: builder.selfNode(self, now), ...this.#lockInfo(poll), ControlTime: goTime(now) };
    } else if (poll.full) {
      message = builder.fullMap(tailnet, self, now);
      // An empty list of peers says nothing on the wire, so only a new poll can say that all peers are gone.
      if (!first && message.Peers!.length === 0) return this.#end(poll);
    } else {
      message = this.#delta(poll, self, now, shared);
    }
    // What an expired node was not told, it must be told from the start once its key is good again.
    poll.full = expired;
    poll.self = false;
    poll.lock = false;
    poll.filter = false;
    poll.pending = new Map();
    poll.busy = !poll.subscriber.send(message);
  }

  #delta(poll: Poll, self: NodeView, now: number, shared: Shared): MapResponse {
    const entries = [...poll.pending].sort(([a], [b]) => a - b);
    if (poll.self || poll.filter) {
      shared.relays ??= relayAddresses(this.#options.tailnet);
      return {
        ...(poll.self && { Node: this.#options.builder.selfNode(self, now) }),
        ...this.#peerDelta(entries, now),
        ...(poll.filter && { PacketFilter: packetFilter(self, shared.relays) }),
        ...this.#lockInfo(poll),
        ControlTime: goTime(now),
      };
    }
    // The head is the same for nearly all, but not for a node that is shown its old lock's end.
    if (poll.lock) return { ...this.#peerDelta(entries, now), ...this.#lockInfo(poll) };
    const key = entries.join(";");
    let message = shared.messages.get(key);
    if (message === undefined) {
      message = this.#peerDelta(entries, now);
      shared.messages.set(key, message);
    }
    return message;
  }

  #lockInfo(poll: Poll): Pick<MapResponse, "TKAInfo"> {
    return poll.lock ? this.#options.builder.lockInfo(poll.subscriber.nodeId) : {};
  }

  #peerDelta(entries: readonly [number, number][], now: number): MapResponse {
    const { tailnet, builder } = this.#options;
    const removed: number[] = [];
    const whole: NodeView[] = [];
    const patches: PeerChange[] = [];
    const online: Record<string, boolean> = {};
    for (const [id, aspects] of entries) {
      const view = tailnet.nodes.get(id);
      if (view === undefined) removed.push(id);
      else if (!isPatchable(view, aspects)) whole.push(view);
      else if (aspects === ASPECT.online && view.online) online[id] = true;
      else patches.push(builder.peerPatch(view, aspects));
    }
    const changed: Node[] = whole.map((view) => builder.peerNode(view, now));
    return {
      ...(changed.length > 0 && { PeersChanged: changed, UserProfiles: builder.userProfiles(tailnet, whole) }),
      ...(removed.length > 0 && { PeersRemoved: removed }),
      ...(patches.length > 0 && { PeersChangedPatch: patches }),
      ...(Object.keys(online).length > 0 && { OnlineChange: online }),
    };
  }

  /** Tells a removed node that its key is void, so that it asks its user at once instead of polling in vain. */
  #farewell(poll: Poll, last: NodeView): void {
    const now = this.#options.scheduler.wall();
    const record = { ...last.record, keyExpiry: now };
    poll.subscriber.send({
      Node: this.#options.builder.selfNode({ record, online: false }, now),
      ControlTime: goTime(now),
    });
    this.#end(poll);
  }

  #end(poll: Poll): void {
    this.#forget(poll);
    poll.subscriber.end();
  }

  #forget(poll: Poll): void {
    this.#dirty.delete(poll);
    if (this.#polls.get(poll.subscriber.nodeId) === poll) this.#polls.delete(poll.subscriber.nodeId);
  }
}
