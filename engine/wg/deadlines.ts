/**
 * Who has a timer due, for thousands of peers whose timers change with every batch of packets.
 *
 * A binary heap that forgives: moving a peer's deadline later or away touches nothing, and the stale entry is put
 * right when it comes to the top. Only an earlier deadline costs a walk up the heap.
 */

/** Something with timers. `queuedAt` and `place` belong to the heap that holds it. */
export interface Deadlined {
  /** ms; Infinity when nothing is pending. */
  deadline(): number;
  /** The deadline it is filed under. Infinity when not filed. */
  queuedAt: number;
  /** Its place in the heap, -1 when not filed. */
  place: number;
}

/** A priority queue of items by deadline. */
export class Deadlines<T extends Deadlined> {
  readonly #heap: T[] = [];

  /** To be called whenever the item's deadline may have become earlier. */
  update(item: T): void {
    const deadline = item.deadline();
    if (deadline >= item.queuedAt) return;
    item.queuedAt = deadline;
    if (item.place < 0) {
      item.place = this.#heap.length;
      this.#heap.push(item);
    }
    this.#up(item);
  }

  /** Forgets the item. */
  remove(item: T): void {
    if (item.place < 0) return;
    const last = this.#heap.pop()!;
    const place = item.place;
    item.place = -1;
    item.queuedAt = Infinity;
    if (last === item) return;
    this.#put(last, place);
    this.#up(last);
    this.#down(last);
  }

  /** The earliest deadline, Infinity when there is none. */
  next(): number {
    return this.#top()?.queuedAt ?? Infinity;
  }

  /** Takes out one item that is due. File it again with `update` once its timers have run. */
  takeDue(now: number): T | undefined {
    const top = this.#top();
    if (top === undefined || top.queuedAt > now) return undefined;
    this.remove(top);
    return top;
  }

  #top(): T | undefined {
    for (let top = this.#heap[0]; top !== undefined; top = this.#heap[0]) {
      const deadline = top.deadline();
      if (deadline === top.queuedAt) return top;
      if (deadline === Infinity) {
        this.remove(top);
      } else {
        top.queuedAt = deadline;
        this.#down(top);
      }
    }
    return undefined;
  }

  #put(item: T, place: number): void {
    this.#heap[place] = item;
    item.place = place;
  }

  #up(item: T): void {
    let place = item.place;
    while (place > 0) {
      const above = this.#heap[(place - 1) >> 1];
      if (above.queuedAt <= item.queuedAt) break;
      this.#put(above, place);
      place = (place - 1) >> 1;
    }
    this.#put(item, place);
  }

  #down(item: T): void {
    let place = item.place;
    for (;;) {
      let child = place * 2 + 1;
      if (child >= this.#heap.length) break;
      if (child + 1 < this.#heap.length && this.#heap[child + 1].queuedAt < this.#heap[child].queuedAt) child++;
      if (this.#heap[child].queuedAt >= item.queuedAt) break;
      this.#put(this.#heap[child], place);
      place = child;
    }
    this.#put(item, place);
  }
}
