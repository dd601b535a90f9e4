/** Edits (insert, delete, replace, swap of neighbours) that turn `from` into `to`; case counts for nothing. */
export function editDistance(from: string, to: string): number {
  const a = from.toLowerCase();
  const b = to.toLowerCase();
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1];
      let least = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1));
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1])
        least = Math.min(least, beforeLast[column - 2]! + 1);
      current.push(least);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length]!;
}

/** The known word that `word` was most likely meant to be: at most a third of it (and never less than one letter) edited. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(word.length / 3));
  let best: string | undefined;
  let least = limit + 1;
  for (const candidate of known) {
    const edits = editDistance(word, candidate);
    if (edits < least) {
      best = candidate;
      least = edits;
    }
  }
  return best;
}

export const meaning = (word: string): string => `did you mean ${JSON.stringify(word)}?`;

/** `did you mean "x"?` where something is near, else the words that are known. */
export function wayOutAmong(word: string, known: readonly string[], what: string): string {
  const near = nearest(word, known);
  if (near !== undefined) return meaning(near);
  return known.length === 0 ? `none is known here` : `${what}: ${known.join(", ")}`;
}
