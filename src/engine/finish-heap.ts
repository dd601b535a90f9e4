import type { EngineRequest, Sequence } from "./sequence.ts";

/** Decoding sequences by the step in which they finish, then by order of submission. */
export interface FinishHeap<R extends EngineRequest> {
  first(): Sequence<R> | null;
  add(sequence: Sequence<R>): void;
  remove(sequence: Sequence<R>): void;
}

const before = <R extends EngineRequest>(a: Sequence<R>, b: Sequence<R>) =>
  a.finishStep < b.finishStep || (a.finishStep === b.finishStep && a.order < b.order);

export function createFinishHeap<R extends EngineRequest>(): FinishHeap<R> {
  const heap: Sequence<R>[] = [];
  const put = (sequence: Sequence<R>, at: number) => {
    heap[at] = sequence;
    sequence.heapAt = at;
  };
  const up = (sequence: Sequence<R>, from: number) => {
    let at = from;
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above] as Sequence<R>;
      if (!before(sequence, parent)) break;
      put(parent, at);
      at = above;
    }
    put(sequence, at);
  };
  const down = (sequence: Sequence<R>, from: number) => {
    let at = from;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && before(heap[below + 1] as Sequence<R>, heap[below] as Sequence<R>)) below++;
      const child = heap[below] as Sequence<R>;
      if (!before(child, sequence)) break;
      put(child, at);
      at = below;
    }
    put(sequence, at);
  };
  return {
    first: () => heap[0] ?? null,
    add: (sequence) => up(sequence, heap.length),
    remove(sequence) {
      const at = sequence.heapAt;
      const last = heap.pop() as Sequence<R>;
      sequence.heapAt = -1;
      if (last === sequence) return;
      if (at > 0 && before(last, heap[(at - 1) >> 1] as Sequence<R>)) up(last, at);
      else down(last, at);
    },
  };
}
