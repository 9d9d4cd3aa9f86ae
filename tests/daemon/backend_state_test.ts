import assert from "node:assert/strict";
import { nextState } from "../../daemon/backend_state.ts";
import type { BackendState, StateInputs } from "../../daemon/backend_state.ts";

/** A node that is up, logged in and connected. */
const RUNNING: StateInputs = {
  state: "Running",
  wantRunning: true,
  loggedOut: false,
  haveNodeKey: true,
  blocked: false,
  authCantContinue: false,
  haveNetmap: true,
  keyExpired: false,
  machineAuthorized: true,
  live: true,
};

const TABLE: readonly (readonly [string, Partial<StateInputs>, BackendState])[] = [
  ["everything in order", {}, "Running"],
  ["down", { wantRunning: false }, "Stopped"],
  ["down while starting", { wantRunning: false, state: "Starting", live: false }, "Stopped"],
  ["saved state at boot, wanted down", { state: "NoState", wantRunning: false, haveNetmap: false }, "Stopped"],
  ["saved state at boot, wanted up", { state: "NoState", haveNetmap: false }, "NoState"],
  [
    "never logged in",
    { state: "NoState", haveNodeKey: false, loggedOut: true, wantRunning: false, haveNetmap: false },
    "NeedsLogin",
  ],
  [
    "waiting for a person",
    { state: "NoState", haveNodeKey: false, authCantContinue: true, haveNetmap: false },
    "NeedsLogin",
  ],
  ["logging in by auth key", { state: "NeedsLogin", haveNodeKey: false, haveNetmap: false }, "NeedsLogin"],
  ["logged in, no netmap yet", { state: "NeedsLogin", haveNetmap: false }, "NeedsLogin"],
  ["first netmap", { state: "NeedsLogin", live: false }, "Starting"],
  ["up again without a netmap", { state: "Stopped", haveNetmap: false }, "Starting"],
  ["up again with the old netmap", { state: "Stopped" }, "Starting"],
  ["starting, nothing connected yet", { state: "Starting", live: false }, "Starting"],
  ["starting, relay connected", { state: "Starting" }, "Running"],
  ["relay lost while running", { live: false }, "Running"],
  ["machine not approved", { machineAuthorized: false }, "NeedsMachineAuth"],
  ["machine approved", { state: "NeedsMachineAuth" }, "Starting"],
  ["key expired", { keyExpired: true }, "NeedsLogin"],
  ["key expired and down", { keyExpired: true, wantRunning: false }, "Stopped"],
  ["logged out with the netmap still there", { loggedOut: true, wantRunning: false }, "Stopped"],
  ["logged out", { loggedOut: true, wantRunning: false, haveNetmap: false, haveNodeKey: false }, "NeedsLogin"],
  ["stopped while a login is waited for", {
    state: "NeedsLogin",
    wantRunning: false,
    blocked: true,
    haveNetmap: false,
    authCantContinue: true,
  }, "NeedsLogin"],
];

Deno.test("nextState() follows ipnlocal's table", () => {
  for (const [name, inputs, wanted] of TABLE) assert.equal(nextState({ ...RUNNING, ...inputs }), wanted, name);
});

Deno.test("nextState() settles after at most two steps from every combination of inputs", () => {
  const states: BackendState[] = ["NoState", "NeedsLogin", "NeedsMachineAuth", "Stopped", "Starting", "Running"];
  const flags = [
    "wantRunning",
    "loggedOut",
    "haveNodeKey",
    "blocked",
    "authCantContinue",
    "haveNetmap",
    "keyExpired",
    "machineAuthorized",
    "live",
  ] as const;
  for (const state of states) {
    for (let bits = 0; bits < 1 << flags.length; bits++) {
      const inputs = Object.fromEntries(
        flags.map((flag, i) => [flag, (bits >> i & 1) === 1]),
      ) as unknown as StateInputs;
      const one = nextState({ ...inputs, state });
      const two = nextState({ ...inputs, state: one });
      assert.equal(nextState({ ...inputs, state: two }), two, `${state} ${bits.toString(2)}`);
    }
  }
});
