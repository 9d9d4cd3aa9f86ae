/**
 * Memory for the many small byte strings of a chain: copies lie side by side in pages of 16 KiB, as an allocation of its
 * own for each costs more than reading or writing it.
 *
 * A page lives as long as anything in it. AUMs come and go in chains, so little is held for nothing.
 */

const PAGE = 16 * 1024;
let page = new Uint8Array(PAGE);
let used = 0;

/** A copy that nobody else writes to. */
export function keep(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { length } = bytes;
  if (length > PAGE / 8) return bytes.slice() as Uint8Array<ArrayBuffer>;
  if (used + length > PAGE) {
    page = new Uint8Array(PAGE);
    used = 0;
  }
  const at = used;
  used += length;
  page.set(bytes, at);
  return page.subarray(at, used);
}
