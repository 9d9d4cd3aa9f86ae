/**
 * The WebAssembly kernels (`assembly/`), instantiated over an arena's memory.
 *
 * Offsets are of that memory and are not checked. See each function's source in `assembly/` for what it does and its
 * twin in TypeScript.
 */
import { KERNELS_BASE64 } from "./kernels_wasm.ts";

/** What `assembly/index.ts` exports. A WebAssembly boolean is 0 or 1. */
export interface KernelExports {
  sumBytes(at: number, length: number): number;
  checksumValid(ip: number, v6: number, protocol: number, l4: number, length: number): number;
  joinsTcp(first: number, ip: number, v6: number, l4: number, headers: number, length: number): number;
  joinsUdp(first: number, ip: number, v6: number, l4: number, length: number): number;
  writeSegments(
    ip: number,
    length: number,
    l4: number,
    headers: number,
    size: number,
    tcp: number,
    first: number,
    most: number,
    to: number,
    stride: number,
    receiver: number,
    counterLow: number,
    counterHigh: number,
  ): number;
  /** @param key offset of 32 bytes. @param scratch offset of `KERNEL_SCRATCH` bytes, 16-byte aligned, not shared. */
  seal(key: number, scratch: number, at: number, length: number, counterLow: number, counterHigh: number): void;
  open(key: number, scratch: number, at: number, length: number, counterLow: number, counterHigh: number): number;
}

/** Bytes of working memory of `seal` and `open` (assembly/scratch.ts). */
export const KERNEL_SCRATCH = 1056;

/** @throws Error where WebAssembly, its SIMD or a shared memory is refused. */
export function instantiateKernels(memory: WebAssembly.Memory): KernelExports {
  const module = new WebAssembly.Module(Uint8Array.fromBase64(KERNELS_BASE64));
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as KernelExports;
}
