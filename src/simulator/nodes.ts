import type { Ms } from "../model/index.ts";
import type { EventQueue } from "./event-queue.ts";
import type { NodeSpec } from "./options.ts";

export interface Node {
  freeGpus: number;
  hasImage: boolean;
  timer: number;
}

/** Where a replica's GPUs are, and what of its start is spared there. */
export interface Placement {
  readonly nodes: readonly Node[];
  readonly isNew: boolean;
  readonly hasImage: boolean;
}

/** The nodes of one pool. A replica with more GPUs than a node has takes whole nodes of its own. */
export interface Nodes {
  readonly count: number;
  place(gpus: number): Placement;
  leave(placement: Placement, gpus: number, nowMs: Ms): void;
}

export function createNodes(spec: NodeSpec, queue: EventQueue, changed: (nowMs: Ms) => void): Nodes {
  const all: Node[] = [];
  const open = (): Node => {
    const node: Node = { freeGpus: spec.gpusPerNode, hasImage: false, timer: -1 };
    node.timer = queue.add((nowMs) => {
      queue.remove(node.timer);
      all.splice(all.indexOf(node), 1);
      changed(nowMs);
    });
    all.push(node);
    return node;
  };
  const taken = (gpus: number) => Math.min(gpus, spec.gpusPerNode);
  return {
    get count() {
      return all.length;
    },
    place(gpus) {
      const each = taken(gpus);
      const needed = Math.ceil(gpus / spec.gpusPerNode);
      const fitting = all.filter((node) => node.freeGpus >= each).slice(0, needed);
      const isNew = fitting.length < needed;
      while (fitting.length < needed) fitting.push(open());
      for (const node of fitting) {
        node.freeGpus -= each;
        queue.clear(node.timer);
      }
      return { nodes: fitting, isNew, hasImage: fitting.every((node) => node.hasImage) };
    },
    leave({ nodes }, gpus, nowMs) {
      for (const node of nodes) {
        node.freeGpus += taken(gpus);
        if (node.freeGpus === spec.gpusPerNode) queue.set(node.timer, nowMs + spec.idleMs);
      }
    },
  };
}
