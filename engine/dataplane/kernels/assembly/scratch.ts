// @ts-nocheck: AssemblyScript
/**
 * The working memory of one `seal` or `open`, 16-byte aligned, given by the caller so that threads do not share it.
 *
 *   0     key stream of four blocks
 *   256   Poly1305 multipliers of every step but the last   (see poly1305.ts)
 *   544   multipliers of the last step
 *   832   r, r^2, r^3, r^4, then the accumulator: five 26-bit limbs of 32 bits each, in 32 bytes
 *   992   the last block, padded
 *   1008  the tag as computed
 *   1024  the one-time key, 32 bytes                        total: 1056
 */
export const STREAM: u32 = 0;
export const RUNNING: u32 = 256;
export const CLOSING: u32 = 544;
export const R1: u32 = 832;
export const R2: u32 = 864;
export const R3: u32 = 896;
export const R4: u32 = 928;
export const H: u32 = 960;
export const BLOCK: u32 = 992;
export const TAG: u32 = 1008;
export const ONE_TIME_KEY: u32 = 1024;
