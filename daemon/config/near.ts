/** What somebody may have meant by a key that does not exist. */

/** Letters and digits alone, in lower case: `accept-routes`, `acceptRoutes` and `AcceptRoutes` are one word. */
export function squashed(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
}

/** Insertions, deletions, changes and swaps of neighbours between two words (Damerau, restricted). */
export function editDistance(a: string, b: string): number {
  let older: number[] = [];
  let old = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const swap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? older[j - 2] + 1 : Infinity;
      row[j] = Math.min(old[j] + 1, row[j - 1] + 1, old[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1), swap);
    }
    older = old;
    old = row;
  }
  return old[b.length];
}

/** The name of `known` whose one of its spellings is nearest, when it is near enough to be meant. */
export function nearest(word: string, known: ReadonlyMap<string, readonly string[]>): string | undefined {
  const asked = squashed(word);
  if (asked === "") return undefined;
  const far = Math.max(1, Math.floor(asked.length / 3));
  let best: { name: string; distance: number } | undefined;
  for (const [name, spellings] of known) {
    for (const spelling of spellings) {
      const distance = editDistance(asked.slice(0, 64), squashed(spelling));
      if (distance <= far && distance < (best?.distance ?? Infinity)) best = { name, distance };
    }
  }
  return best?.name;
}
