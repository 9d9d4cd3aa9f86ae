import { runAeadHelper } from "../../ffi/aead_helper.ts";
import type { AeadPoolShare } from "../../ffi/aead_pool.ts";

self.onmessage = (event: MessageEvent<AeadPoolShare>) => {
  runAeadHelper(event.data);
  self.postMessage("stopped");
};
