import { type Ms, type ReplicaState, STAGES, type Stage } from "../../model/index.ts";
import type { Told } from "./replica-state.ts";

/** `name`: of the pod. */
export interface Member {
  readonly name: string;
  readonly told: Told;
}

/**
 * A replica of several pods as one: ready when it is whole and every pod is ready, in the stage that its slowest pod is in, failed
 * when one of them is. What drains or ends is the leader. Once whole, one that is not any more is `failed` until it is again.
 */
export function groupState(leader: Member, workers: readonly Member[], size: number, before: Told | null, nowMs: Ms): Told {
  const entered: Partial<Record<ReplicaState | Stage, Ms>> = { ...before?.entered };
  const enter = (what: ReplicaState | Stage, atMs: Ms | undefined) => {
    if (atMs !== undefined) entered[what] ??= atMs;
  };
  const present = [leader, ...workers.filter(({ told }) => told.state !== "draining")];
  const whole = present.length >= size;
  const served = entered.ready !== undefined;
  enter("starting", leader.told.entered.starting);
  enter("schedule", leader.told.entered.schedule);
  if (whole) {
    for (const stage of STAGES) {
      const times = present.map(({ told }) => told.entered[stage]);
      if (times.every((atMs) => atMs !== undefined)) enter(stage, Math.max(...times));
    }
  }

  const judged = judge(leader, present, size, served);
  if (judged.state === "ready") enter("ready", Math.max(...present.map(({ told }) => told.entered.ready ?? nowMs)));
  if (judged.stage !== undefined) enter(judged.stage, nowMs);
  enter(judged.state, leader.told.state === judged.state ? (leader.told.entered[judged.state] ?? nowMs) : nowMs);

  const { stage: _, trouble: __, message: ___, ...own } = leader.told;
  const stated = present.flatMap(({ told }) => (told.readiness === null ? [] : [told.readiness]));
  const isReady = judged.state === "ready";
  const readiness =
    leader.told.readiness === null || (leader.told.readiness.status === true) === isReady
      ? leader.told.readiness
      : { status: isReady, sinceMs: Math.max(...stated.map(({ sinceMs }) => sinceMs)) };
  const { trouble, ...rest } = judged;
  const sinceMs = before?.trouble?.code === trouble ? (before?.trouble?.sinceMs ?? nowMs) : nowMs;
  return { ...own, ...rest, entered, readiness, ...(trouble === undefined ? {} : { trouble: { code: trouble, sinceMs } }) };
}

type Judged = Pick<Told, "state" | "stage" | "message"> & { readonly trouble?: NonNullable<Told["trouble"]>["code"] };

function judge(leader: Member, present: readonly Member[], size: number, served: boolean): Judged {
  const { told } = leader;
  if (told.state === "draining" || told.state === "gone") return judgedOf(told);
  const bad = present.find((member) => member.told.state === "failed");
  if (bad !== undefined) return judgedOf(bad.told);
  const behind = present.filter((member) => member.told.state !== "ready");
  const missing = size - present.length;
  if (missing <= 0 && behind.length === 0) return judgedOf(present.find((member) => member.told.trouble !== undefined)?.told ?? told);
  if (served) {
    const why = missing > 0 ? `${missing} of its ${size} pods ${missing === 1 ? "is" : "are"} gone` : `${behind[0]?.name} is not ready`;
    return { state: "failed", trouble: "unhealthy", message: `${leader.name} is not whole any more: ${why}` };
  }
  // The furthest behind; pods that are not even there are behind all others.
  const slowest = behind.toSorted((a, b) => stageAt(a.told) - stageAt(b.told))[0];
  const stuck = behind.find((member) => member.told.trouble !== undefined) ?? slowest;
  const { stage: _, ...why } = stuck === undefined ? { state: "starting" as const } : judgedOf(stuck.told);
  return { ...why, state: "starting", stage: missing > 0 ? "schedule" : (slowest?.told.stage ?? "schedule") };
}

const stageAt = ({ stage }: Told): number => (stage === undefined ? STAGES.length : STAGES.indexOf(stage));

const judgedOf = ({ state, stage, trouble, message }: Told): Judged => ({
  state,
  ...(stage === undefined ? {} : { stage }),
  ...(trouble === undefined ? {} : { trouble: trouble.code }),
  ...(message === undefined ? {} : { message }),
});
