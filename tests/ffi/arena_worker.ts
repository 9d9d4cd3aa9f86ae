import { attachArena } from "../../ffi/arena.ts";
import { closeFd, errno, libc, O_RDONLY, openFile } from "../../ffi/libc.ts";

self.onmessage = (event: MessageEvent<WebAssembly.Memory>) => {
  const arena = attachArena(event.data);
  const fd = openFile("/proc/sys/kernel/ostype", O_RDONLY);
  libc.read(fd, arena.pointer(8192), 64);
  closeFd(fd);
  libc.close(-1);
  self.postMessage({ seen: arena.u32[1000], address: Deno.UnsafePointer.value(arena.pointer(0)), errno: errno() });
};
