/** The crypto helpers' threads: started once the data plane is up, stopped when it is closed. */
import { workerUrl } from "../base/worker_url.ts";
import { AeadJobs } from "../ffi/aead_jobs.ts";
import type { AeadPoolShare } from "../ffi/aead_pool.ts";

/** Running helpers. The pool works the same before they are there and after they are gone. */
export class CryptoHelpers {
  readonly #jobs: AeadJobs;

  /** @param failed Told when one dies, which may leave work undone that it had taken. */
  constructor(share: AeadPoolShare, count: number, failed: (message: string) => void) {
    const { buffer } = share.memory;
    this.#jobs = new AeadJobs({ i32: new Int32Array(buffer), u8: new Uint8Array(buffer) }, share.at);
    for (let i = 0; i < count; i++) {
      const worker = new Worker(workerUrl("crypto"), { type: "module" });
      worker.onmessage = () => worker.terminate();
      worker.onerror = (event) => {
        event.preventDefault();
        failed(`a crypto helper died: ${event.message}`);
      };
      worker.postMessage(share);
    }
  }

  /** Has them end when they have done what they hold. */
  close(): void {
    this.#jobs.stop();
  }
}
