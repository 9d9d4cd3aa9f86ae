/** The control client: puts the rooms of this folder together behind `ControlApi`. */
import type { MachinePublic } from "../../base/keys.ts";
import { decodeJson, isMalformed } from "../wire/decode.ts";
import type { NoiseDuplex } from "../wire/noise_duplex.ts";
import { ControlConnection } from "./connection.ts";
import { connectWith } from "./connect.ts";
import { Dialer, dialTarget } from "./dialer.ts";
import { ControlError } from "./errors.ts";
import { fetchWith } from "./http_fetch.ts";
import { LiteUpdate } from "./lite_update.ts";
import { mapCall } from "./map_call.ts";
import { MapPoll, type MapPollOptions } from "./map_poll.ts";
import { PingAnswerer } from "./ping.ts";
import { LOGOUT_EXPIRY, registerCall, registerOutcome, statusError } from "./register.ts";
import { recheckServerKey, serverKey, type ServerKeyOptions } from "./server_key.ts";
import type {
  ControlApi,
  ControlOptions,
  ControlRequest,
  ControlStats,
  NodeState,
  PollEnd,
  PollHandlers,
  PollInput,
  RegisterInput,
  RegisterOutcome,
} from "./types.ts";

/** One control server, for one machine key. @throws ControlError `bad-url`. */
export class ControlClient implements ControlApi {
  readonly stats: ControlStats = {
    connections: 0,
    polls: 0,
    mapResponses: 0,
    keepAlives: 0,
    malformed: 0,
    pings: 0,
    liteUpdates: 0,
    liteUpdateErrors: 0,
  };
  readonly #options: ControlOptions;
  readonly #serverKeyOptions: ServerKeyOptions;
  readonly #dialer: Dialer;
  readonly #connection: ControlConnection;
  readonly #pings: PingAnswerer;
  /** How often the connection was dropped for a new one. */
  #drops = 0;
  #polling: { readonly now: { state: NodeState }; readonly lite: LiteUpdate } | undefined;

  constructor(options: ControlOptions) {
    const { machineKey, capabilityVersion, scheduler, random, ca, log } = options;
    const serverUrl = options.serverUrl.replace(/\/+$/, "");
    const target = dialTarget(serverUrl);
    const { proxyFor, network } = options;
    const now = () => scheduler.wall();
    const fetch = network?.fetch ?? fetchWith(proxyFor, now, network?.tcp);
    const connect = network?.connect ??
      connectWith({ ca, proxyFor, now, tcp: network?.tcp }, (text) => log("warn", text));
    this.#options = options;
    this.#serverKeyOptions = {
      serverUrl,
      ca,
      capabilityVersion,
      store: options.serverKeys,
      acceptNew: options.acceptNewServerKey,
      fetch,
      log,
    };
    this.#dialer = new Dialer({ target, machineKey, capabilityVersion, scheduler, random, connect, log });
    const dial = (signal: AbortSignal) => this.#dial(signal);
    this.#connection = new ControlConnection({ dial, host: target.host, scheduler, log });
    this.#pings = new PingAnswerer({ transport: this.#connection, fetch, ca, scheduler, log });
  }

  async #dial(signal: AbortSignal): Promise<NoiseDuplex> {
    const key = await serverKey(this.#serverKeyOptions, signal);
    const stream = await this.#dialer.dial(key, signal).catch((error) => this.#dialAgain(error, key, signal));
    this.stats.connections++;
    return stream;
  }

  /** After a failed handshake: perhaps the server has a new key, which is for the operator to accept. */
  async #dialAgain(error: unknown, used: MachinePublic, signal: AbortSignal): Promise<NoiseDuplex> {
    if (!(error instanceof ControlError) || error.code !== "handshake") throw error;
    const key = await recheckServerKey(this.#serverKeyOptions, used, signal);
    if (key === undefined) throw error;
    return await this.#dialer.dial(key, signal);
  }

  async register(input: RegisterInput, signal: AbortSignal): Promise<RegisterOutcome> {
    const { capabilityVersion, scheduler, random } = this.#options;
    const call = registerCall(input, capabilityVersion, scheduler.wall());
    const answer = await this.#connection.request(call, signal);
    return registerOutcome(answer, scheduler.wall(), random);
  }

  async poll(input: PollInput, handlers: PollHandlers, signal: AbortSignal): Promise<PollEnd> {
    if (this.#polling !== undefined) throw new TypeError("Cannot poll: a poll of this client runs already");
    const { nodeKey, ...state } = input;
    const { scheduler, random, log, capabilityVersion } = this.#options;
    const transport = this.#connection;
    const common = { transport, scheduler, random, log, capabilityVersion };
    const now: { state: NodeState } = { state };
    const lite = new LiteUpdate({
      ...common,
      call: () => mapCall("lite", nodeKey, now.state, capabilityVersion),
      sent: (ok) => ok ? this.stats.liteUpdates++ : this.stats.liteUpdateErrors++,
    });
    this.#polling = { now, lite };
    const options: MapPollOptions = {
      ...common,
      nodeKey,
      state: () => now.state,
      pings: this.#pings,
      stats: this.stats,
      // A server that was restarted may have forgotten what it was told, so each connection tells it again.
      connected: () => {
        lite.start();
        lite.touch();
      },
      dialPlan: (plan) => this.#dialer.plan = plan,
    };
    try {
      return await new MapPoll(options, handlers, signal).run();
    } finally {
      lite.stop();
      this.#polling = undefined;
    }
  }

  update(change: Partial<NodeState>): void {
    if (this.#polling === undefined) return;
    const { now } = this.#polling;
    now.state = { ...now.state, ...change };
    this.#polling.lite.touch();
  }

  async logout(input: Omit<RegisterInput, "followup" | "expiry" | "authKey">, signal: AbortSignal): Promise<void> {
    const drops = this.#drops;
    const tell = () => this.register({ ...input, expiry: LOGOUT_EXPIRY }, signal);
    // The tunnel's own addresses go meanwhile, which is a change of the network: what was dropped for it is said again.
    const outcome = await tell().catch((cause) => {
      if (this.#drops === drops || signal.aborted) throw cause;
      return tell();
    });
    if (outcome.kind === "rejected") {
      throw new ControlError("http", `Cannot log out: the server says ${outcome.reason}`, { status: 200 });
    }
  }

  async request(request: ControlRequest, signal?: AbortSignal): Promise<unknown> {
    const { scheduler, random } = this.#options;
    const answer = await this.#connection.request(request, signal ?? new AbortController().signal);
    if (answer.status !== 200) {
      throw statusError(`${request.method} ${request.path}`, answer, scheduler.wall(), random);
    }
    const decoded = decodeJson(answer.body, "text");
    if (isMalformed(decoded)) {
      throw new ControlError("malformed", `Cannot use the answer of ${request.path}: ${decoded.malformed}`);
    }
    return decoded.value;
  }

  reconnect(): void {
    this.#drops++;
    this.#connection.drop();
  }

  close(): void {
    this.#connection.close();
  }
}
