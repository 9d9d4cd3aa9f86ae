/**
 * The node as its configuration file declares it: applied at the start, and again at each reload.
 *
 * ```
 *             start                     SIGHUP, `agent reload`, LocalAPI reload-config
 *               │                                   │
 *   file ──load─┴─▶ none ─▶ as it was        load ──┼─ bad: nothing changes; health, one line in the log
 *                   config ─▶ apply                 └─ config ─▶ apply
 *
 *   apply: names noted ─▶ demands on Tailnet Lock ─▶ endpoints, log level ─▶ preferences ─▶ the names of this file alone
 *                                                                                 ├─ edited in place
 *                                                                                 └─ another server, other tags, or a
 *                                                                                    login that waits and a key for it:
 *                                                                                    a new start
 * ```
 * The demands on the lock come first, so that no peer slips through; those of a file that cannot be taken at the start
 * count all the same. Until all is stored the names that are kept are those of the old file and of the new, so that a
 * crash in between leaves nothing behind that nobody takes back. While a file that is locked is in force nobody else
 * changes the preferences. Source: ipnlocal (initPrefsFromConfig, setConfigLocked, ReloadConfig).
 */
import { Secret } from "../../base/secret.ts";
import type { Backend } from "../backend.ts";
import { BackendError } from "../backend_options.ts";
import type { Log } from "../log.ts";
import type { LogLevel } from "../log_level.ts";
import type { LockPolicy } from "../lock/policy.ts";
import { change, controlUrl } from "../prefs.ts";
import type { PrefValues } from "../pref_fields.ts";
import { samePref } from "../pref_fields.ts";
import type { StateStore } from "../state_file.ts";
import { AppliedNames } from "./applied.ts";
import { settingsOf } from "./compare.ts";
import type { Settings } from "./compare.ts";
import { CONFIG_KEYS, CONFIG_NAMES } from "./keys.ts";
import { loadConfig } from "./load.ts";
import type { ConfigSource, LoadedConfig } from "./load.ts";
import { namesOf } from "./read.ts";
import type { Config } from "./read.ts";
import { demandedAnyway, wantedPolicy, wantedPrefs } from "./wanted.ts";

/** What it is made of. */
export interface DeclaredOptions {
  /** Undefined without `--config`: then nothing is ever declared. */
  readonly source: ConfigSource | undefined;
  /** What was there when the daemon's flags were read; that is what it starts with. */
  readonly first: LoadedConfig;
  readonly backend: Backend;
  readonly store: StateStore;
  readonly log: Log;
  readonly instance: string;
  /** `--static-endpoints`: they stay, whatever the file has. */
  readonly flagEndpoints: readonly string[];
  /** For a file without a key of its own. */
  readonly authKey?: Secret;
  readonly setLogLevel: (level: LogLevel) => void;
  /** For tests. */
  readonly load?: (source: ConfigSource) => LoadedConfig;
  readonly readFile?: (path: string) => string;
}

/** `apitype.ReloadConfigResponse`. Neither reloaded nor an error: no file is in use. */
export interface ReloadResult {
  readonly Reloaded: boolean;
  readonly Err: string;
}

/** What the LocalAPI tells of it. */
export interface DeclaredState {
  /** "" without `--config`. */
  readonly Path: string;
  /** A file is in force. */
  readonly InUse: boolean;
  readonly Locked: boolean;
  /** What is wrong with the file as it is now, "" for nothing. */
  readonly Problem: string;
  /** The keys that the file had when it was last applied. */
  readonly Applied: readonly string[];
  /** What the node runs with, under the names of the file. */
  readonly Settings: Settings;
}

/** The configuration in force. */
export class Declared {
  readonly #options: DeclaredOptions;
  readonly #start: Config;
  #config: Config | undefined;
  #endpoints: readonly string[] = [];
  #logLevel: LogLevel = "info";
  readonly #applied: AppliedNames;
  #policyStored = true;
  #problem = "";
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: DeclaredOptions) {
    this.#options = options;
    this.#applied = new AppliedNames(options.store);
    this.#start = options.first.kind === "config" ? options.first.config : {};
    // The LocalAPI may answer before the node has begun.
    options.backend.configLocked = options.first.kind === "config" && this.#start.Locked !== false;
  }

  get state(): DeclaredState {
    const { backend, source, instance } = this.#options;
    const { prefs, lock: { policy } } = backend;
    return {
      Path: source?.path ?? "",
      InUse: this.#config !== undefined,
      Locked: backend.configLocked,
      Problem: this.#problem,
      Applied: this.#applied.names,
      Settings: settingsOf({ prefs, policy, instance, staticEndpoints: this.#endpoints, logLevel: this.#logLevel }),
    };
  }

  /** Starts the node, as declared or as it was. What goes wrong is said in the log and by health. */
  start(): Promise<void> {
    return this.#inTurn(async () => {
      const { first, backend, log } = this.#options;
      try {
        if (first.kind === "config") return await this.#take(first.config, first.warnings, true);
      } catch (cause) {
        // It does not go together with what the node had before; that is better than no node.
        const locks = this.#config === undefined && first.kind === "config" && this.#demandAnyway(first.config);
        if (this.#config === undefined) backend.configLocked = false;
        const but = locks ? ", but for the Tailnet Lock that it demands" : "";
        this.#setProblem(`it was not taken, and the node runs as it did before${but}: ${messageOf(cause)}`);
        log.error(messageOf(cause));
      }
      await backend.start().catch((cause) => log.error(messageOf(cause)));
    });
  }

  /** Reads the file again and applies it. Nothing changes when it is bad. */
  reload(): Promise<ReloadResult> {
    return this.#inTurn(async () => {
      const { source, load = loadConfig, log } = this.#options;
      const loaded = source === undefined ? { kind: "absent" } as const : load(source);
      try {
        if (loaded.kind === "bad") throw new BackendError(loaded.lines.join("\n"));
        if (loaded.kind === "config") {
          await this.#take(loaded.config, loaded.warnings, false);
          log.info(`configuration reloaded from ${source!.path}`);
          return { Reloaded: true, Err: "" };
        }
        this.#leave();
        return { Reloaded: false, Err: "" };
      } catch (cause) {
        const text = messageOf(cause);
        this.#setProblem(`it was not taken, and the node stays as it was: ${text.replaceAll("\n", "; ")}`);
        log.error(`configuration not reloaded: ${text}`);
        return { Reloaded: false, Err: text };
      }
    });
  }

  #inTurn<T>(run: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(run);
    this.#turn = done.catch(() => {});
    return done;
  }

  /** @throws Error when it cannot be applied. */
  async #take(config: Config, warnings: readonly string[], starting: boolean): Promise<void> {
    const { backend, log } = this.#options;
    const applied = this.#applied.names;
    const values = wantedPrefs(config, backend.prefs, applied);
    backend.checkUsable({ ...backend.prefs, ...values }, "config");
    const named = namesOf(config);
    this.#note(() => this.#applied.begin(named));
    const policyStored = this.#setPolicy(wantedPolicy(config, backend.lock.policy, applied));
    this.#setRest(config);
    this.#config = config;
    backend.configLocked = config.Locked !== false;
    this.#setProblem(starting ? "" : this.#waitsForRestart(config));
    for (const line of warnings) log.warn(line);
    await this.#setPrefs(config, values, starting);
    this.#note(() => this.#applied.finish(named, policyStored && backend.prefsStored));
  }

  /** What the file demands of the lock, where nothing else of it is taken. @returns whether it demands more than before */
  #demandAnyway(config: Config): boolean {
    const { lock: { policy } } = this.#options.backend;
    const demanded = demandedAnyway(config, policy);
    if (samePref(demanded, policy)) return false;
    const named = namesOf(config).filter((name) => name === "LockRequired" || name === "LockPins");
    this.#note(() => this.#applied.begin(named));
    this.#setPolicy(demanded);
    return true;
  }

  /** @returns false when it could not be stored, and is in force all the same. */
  #setPolicy(policy: LockPolicy): boolean {
    const { lock } = this.#options.backend;
    if (samePref(policy, lock.policy) && this.#policyStored) return true;
    return this.#policyStored = this.#note(() => lock.setPolicy(policy));
  }

  /** As with preferences: what cannot be stored is in force, and a warning. @returns false then */
  #note(store: () => void): boolean {
    try {
      store();
      return true;
    } catch (cause) {
      this.#options.log.warn(messageOf(cause));
      return false;
    }
  }

  async #setPrefs(config: Config, values: Partial<PrefValues>, starting: boolean): Promise<void> {
    const { backend } = this.#options;
    const { prefs } = backend;
    const next = { ...prefs, ...values };
    const waits = prefs.persist?.nodeKey === undefined || backend.state === "NeedsLogin";
    const authKey = starting || waits ? this.#authKey(config, waits) : undefined;
    const anew = starting || values.AdvertiseTags !== undefined || controlUrl(next) !== controlUrl(prefs) ||
      (waits && next.WantRunning && authKey !== undefined);
    if (!anew) {
      backend.editPrefs(change(values), "config");
      await backend.datapath.filterSettled;
      return;
    }
    await backend.start({ updatePrefs: next, ...authKey && { authKey } }, "config");
    if (next.WantRunning && backend.prefs.persist?.nodeKey === undefined) backend.loginInteractive();
  }

  /** What is neither preference nor lock. */
  #setRest({ StaticEndpoints = [], LogLevel = "info" }: Config): void {
    const { backend, flagEndpoints, setLogLevel } = this.#options;
    this.#endpoints = StaticEndpoints;
    if (LogLevel !== this.#logLevel) setLogLevel(LogLevel);
    this.#logLevel = LogLevel;
    backend.datapath.setStaticEndpoints([...new Set([...flagEndpoints, ...StaticEndpoints])]);
  }

  /** The file may be gone, where it is optional: nothing is declared any more, and all stays as it is. */
  #leave(): void {
    this.#config = undefined;
    this.#options.backend.configLocked = false;
    this.#setProblem("");
  }

  #waitsForRestart(config: Config): string {
    const changed = CONFIG_NAMES.filter((name) => CONFIG_KEYS[name].restart && config[name] !== this.#start[name]);
    return changed.length === 0 ? "" : `${changed.join(", ")}: counts from the next start of the daemon on`;
  }

  #setProblem(text: string): void {
    const { backend, source } = this.#options;
    this.#problem = text;
    backend.problem("agent-config", text === "" ? "" : `${source?.path}: ${text}`);
  }

  /** @param needed say so when the file with it cannot be read. */
  #authKey({ AuthKey }: Config, needed: boolean): Secret | undefined {
    const { authKey, readFile = Deno.readTextFileSync, log } = this.#options;
    const text = AuthKey?.reveal() ?? "";
    if (text === "") return authKey;
    if (!text.startsWith("file:")) return AuthKey;
    try {
      return new Secret(readFile(text.slice("file:".length)).trim());
    } catch (cause) {
      if (needed) log.error(`Cannot read the auth key of the configuration: ${messageOf(cause)}`);
      return undefined;
    }
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
