import type { Target } from "../../../model/index.ts";
import type { Pod } from "../objects.ts";
import { refusePart, scaleSubresource } from "./scale-subresource.ts";
import type { Grouping, ScaleTarget, TargetContext, TargetKind } from "./target.ts";

const label = "leaderworkerset.sigs.k8s.io";

const grouping: Grouping = {
  seatOf({ metadata: { labels = {} } }) {
    const group = labels[`${label}/group-index`];
    return group === undefined ? null : { group, leads: labels[`${label}/worker-index`] === "0" };
  },
  sizeOf({ metadata }: Pod) {
    const size = Number(metadata.annotations?.[`${label}/size`]);
    return Number.isInteger(size) && size > 0 ? size : 1;
  },
};

/**
 * A replica is a group of a leader and its workers: ready when all of them are, reached at the leader, and gone as a whole, the
 * highest index first. The scale's own selector names the leaders alone.
 * Source: kubernetes-sigs/lws, `api/leaderworkerset/v1` (v0.7 and later): labels, annotations and scale.
 */
export const leaderWorkerSet: TargetKind = {
  group: "leaderworkerset.x-k8s.io",
  kind: "LeaderWorkerSet",
  async open(target: Target, context: TargetContext): Promise<ScaleTarget> {
    refusePart(target);
    return scaleSubresource(target, context, { grouping, selector: `${label}/name=${target.name}` });
  },
};
