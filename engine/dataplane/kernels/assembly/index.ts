// @ts-nocheck: AssemblyScript, not TypeScript; compiled by tools/build_kernels.ts to ../kernels_wasm.ts.
/**
 * The loops of the data plane that touch every byte of a packet, for WebAssembly with SIMD over the shared arena.
 *
 * All offsets are byte offsets into the imported memory, which is never grown. There is no runtime, no static data and
 * no state between calls, so any thread may instantiate the module over the same arena. Nothing is checked here: the
 * caller (`../../packet_kernels.ts`, `ffi/aead_wasm.ts`) has bounded every offset and length. Each function has a slow, clear
 * twin in TypeScript that tests compare it with.
 */
export { checksumValid, sumBytes } from "./checksum.ts";
export { joinsTcp, joinsUdp } from "./coalesce.ts";
export { writeSegments } from "./segment.ts";
export { open, seal } from "./aead.ts";
