/** A binary heap of things with a deadline, so that ten thousand active peers cost a logarithm and not a scan. */

/** Something waiting for a moment. */
export interface Waiting {
  /** When, in milliseconds; Infinity for never. Change it only together with `Deadlines.update`. */
  deadline: number;
  /** Owned by `Deadlines`: place in the heap, -1 outside. */
  slot: number;
}

/** What waits, soonest first. */
export class Deadlines<T extends Waiting> {
  readonly #heap: T[] = [];

  /** The one that is due first, undefined when nothing waits. */
  get first(): T | undefined {
    return this.#heap[0];
  }

  /** To be called after `item.deadline` changed; an infinite deadline takes it out. */
  update(item: T): void {
    if (item.deadline === Infinity) return this.remove(item);
    if (item.slot < 0) {
      item.slot = this.#heap.length;
      this.#heap.push(item);
    }
    this.#settle(item);
  }

  remove(item: T): void {
    if (item.slot < 0) return;
    const last = this.#heap.pop()!;
    if (last !== item) {
      this.#put(last, item.slot);
      this.#settle(last);
    }
    item.slot = -1;
  }

  #put(item: T, slot: number): void {
    this.#heap[slot] = item;
    item.slot = slot;
  }

  /** Moves an item up or down to where its deadline belongs. */
  #settle(item: T): void {
    while (item.slot > 0) {
      const parent = this.#heap[(item.slot - 1) >> 1];
      if (parent.deadline <= item.deadline) break;
      this.#swap(item, parent);
    }
    while (true) {
      const left = this.#heap[item.slot * 2 + 1];
      if (left === undefined) return;
      const right = this.#heap[item.slot * 2 + 2];
      const child = right !== undefined && right.deadline < left.deadline ? right : left;
      if (child.deadline >= item.deadline) return;
      this.#swap(item, child);
    }
  }

  #swap(a: T, b: T): void {
    const slot = a.slot;
    this.#put(a, b.slot);
    this.#put(b, slot);
  }
}
