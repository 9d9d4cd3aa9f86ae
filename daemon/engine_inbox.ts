/**
 * The engine's events before there is anybody to take them: the engine has to run before the data path can be made of
 * it. What comes until then is dropped, as a network may; only a failure is kept.
 */
import type { EngineEvents } from "../engine/engine.ts";

/** To be given to the engine, and connected once. */
export class EngineInbox {
  #target: EngineEvents | undefined;
  #failure: Error | undefined;

  readonly events: EngineEvents = {
    derpSend: (packet) => this.#target?.derpSend(packet),
    stunReceived: (payload, from) => this.#target?.stunReceived(payload, from),
    endpointsWanted: (reason) => this.#target?.endpointsWanted(reason),
    relayRequested: (request) => this.#target?.relayRequested(request),
    pathChanged: (status) => this.#target?.pathChanged(status),
    failed: (error) => {
      this.#failure = error;
      this.#target?.failed(error);
    },
  };

  connect(target: EngineEvents): void {
    this.#target = target;
    if (this.#failure !== undefined) target.failed(this.#failure);
  }
}
