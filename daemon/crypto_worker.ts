/** Entry of a crypto helper: joins the data plane's pool and works until that is closed. */
import { runAeadHelper } from "../ffi/aead_helper.ts";
import type { AeadPoolShare } from "../ffi/aead_pool.ts";

const scope = self as unknown as {
  onmessage: ((event: MessageEvent<AeadPoolShare>) => void) | null;
  postMessage(message: "stopped"): void;
};

scope.onmessage = ({ data }) => {
  runAeadHelper(data);
  scope.postMessage("stopped");
};
