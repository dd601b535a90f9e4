import type { EndpointStatus, StatusCondition } from "../config/index.ts";
import { formatDuration, type Ms } from "../model/index.ts";
import type { DesiredView, EndpointView, WaitingView } from "./view.ts";

/** What is wrong with an object's spec. */
export interface SpecProblem {
  readonly reason: string;
  readonly message: string;
}

export interface StatusInput {
  readonly generation: number;
  readonly problem: SpecProblem | null;
  readonly warnings: readonly string[];
  /** null: no loop runs for it. */
  readonly view: EndpointView | null;
  readonly desired: DesiredView | null;
  readonly policy: string | null;
  readonly waiting: WaitingView | null;
  /** What stood there before, by us or by who led before us. */
  readonly before: EndpointStatus;
  readonly nowMs: Ms;
}

/** `drift` is what changes all the time and may be told later than the rest. */
export interface ToldStatus {
  readonly status: EndpointStatus;
  readonly drift: Pick<EndpointStatus, "attainment" | "coldStartP90">;
}

type Said = Pick<StatusCondition, "type" | "status" | "reason" | "message">;

/** An endpoint's state as an object's status: conditions in HorizontalPodAutoscaler's terms, and what the platform reports. Pure. */
export function endpointStatus(input: StatusInput): ToldStatus {
  const { view, desired, before, generation, nowMs, policy } = input;
  const sum = (counts: readonly (number | null)[]): number | undefined =>
    counts.length === 0 || counts.some((count) => count === null)
      ? undefined
      : counts.reduce<number>((all, count) => all + (count ?? 0), 0);
  const pools = desired?.pools ?? [];
  const unseen = view === null || view.trouble.some(({ code }) => code === "platform") || view.now === null;
  const changed = view?.decisions.find((line) => line.changed);
  const lastDecision =
    changed === undefined
      ? before.lastDecision
      : { time: timeText(changed.atMs), from: changed.from, to: changed.to, reason: changed.reason };
  const max = view?.bounds.max;
  const limited = max !== undefined && max < Number.MAX_SAFE_INTEGER;
  const status: EndpointStatus = compact({
    observedGeneration: generation,
    desired: sum(pools.map((pool) => pool.desired)),
    current: sum(pools.map((pool) => pool.current)),
    replicas: unseen ? undefined : countsOf(view, null),
    bounds: view === null ? undefined : { min: view.bounds.min, ...(limited ? { max } : {}) },
    policy: policy ?? undefined,
    pools:
      desired === null
        ? undefined
        : pools.map((pool) =>
            compact({
              name: pool.name,
              target:
                pool.target === null
                  ? undefined
                  : `${pool.target.kind.toLowerCase()}${groupOf(pool.target.apiVersion)}/${pool.target.name}`,
              selector: view?.pools.find(({ name }) => name === pool.name)?.selector ?? undefined,
              desired: pool.desired ?? undefined,
              current: pool.current ?? undefined,
              ...countsOf(view, pool.name),
            }),
          ),
    lastDecision,
    conditions: conditionsOf(input).map((said): StatusCondition => {
      const old = before.conditions?.find(({ type }) => type === said.type);
      const since = old !== undefined && old.status === said.status ? old.lastTransitionTime : timeText(nowMs);
      return { ...said, message: said.message.slice(0, longestMessage), lastTransitionTime: since, observedGeneration: generation };
    }),
  });
  const coldStart = view?.coldStartP90Ms ?? null;
  return {
    status,
    drift: compact({
      attainment: view === null || view.attainment === null ? before.attainment : `${(view.attainment * 100).toFixed(1)}%`,
      coldStartP90: coldStart === null ? before.coldStartP90 : formatDuration(Math.round(coldStart / 1000) * 1000),
    }),
  };
}

/** As metav1.Condition allows. */
const longestMessage = 32_768;

function countsOf(view: EndpointView | null, pool: string | null) {
  const count = (state: string) =>
    view?.replicas.filter((replica) => replica.state === state && (pool === null || replica.pool === pool)).length ?? 0;
  return {
    ...{ ready: count("ready"), starting: count("starting"), draining: count("draining") },
    ...{ failed: count("failed"), standby: count("standby") },
  };
}

function conditionsOf(input: StatusInput): readonly Said[] {
  const { problem, warnings, view, waiting } = input;
  const valid: Said =
    problem === null
      ? { type: "Valid", status: "True", reason: "ConfigValid", message: ["the spec is valid", ...warnings].join("\n") }
      : { type: "Valid", status: "False", ...problem };
  if (view === null) {
    const why = problem ?? (waiting === null ? null : { reason: "CannotStart", message: waiting.text });
    const said = why ?? { reason: "Starting", message: "its loop has not looked yet" };
    const status = why === null ? "Unknown" : "False";
    return [valid, { type: "Ready", status, ...said }, ...(waiting === null ? [] : [{ ...said, type: "AbleToScale", status } as const])];
  }
  const own = view.conditions.filter(({ type }) => !["AbleToScale", "ScalingActive", "ScalingLimited"].includes(type));
  return [
    valid,
    ready(view),
    ableToScale(view, waiting),
    scalingActive(view, input.nowMs),
    scalingLimited(view),
    capacity(view),
    healthy(view),
    ...own.map(({ type, status, reason }): Said => ({ type, status, reason, message: inWords(reason) })),
  ];
}

function ready(view: EndpointView): Said {
  const type = "Ready";
  const trouble = view.trouble.find(({ code }) => code === "platform");
  if (trouble !== undefined) return { type, status: "Unknown", reason: "PlatformUnseen", message: trouble.text };
  if (view.now === null) return { type, status: "Unknown", reason: "Starting", message: "its loop has not looked yet" };
  if (view.now.ready > 0) return { type, status: "True", reason: "Serving", message: "at least one replica is ready" };
  if (view.now.wanted === 0) return { type, status: "True", reason: "ScaledToZero", message: "no replica is wanted; a request wakes it" };
  return { type, status: "False", reason: "NoReplicaReady", message: "replicas are wanted and none is ready" };
}

function ableToScale(view: EndpointView, waiting: WaitingView | null): Said {
  const type = "AbleToScale";
  const no = (reason: string, message: string): Said => ({ type, status: "False", reason, message });
  if (waiting !== null) return no("CannotTakeOver", `the new spec cannot be taken, the last one goes on: ${waiting.text}`);
  const unseen = view.trouble.find(({ code }) => code === "platform");
  if (unseen !== undefined) return no("FailedGetScale", unseen.text);
  const writer = view.pools.find(({ otherWriter }) => otherWriter !== null)?.otherWriter;
  if (writer !== undefined && writer !== null) return no("OtherWriter", writer);
  const refused = view.trouble.find(({ code }) => code === "scale");
  if (refused !== undefined) return no("FailedUpdateScale", refused.text);
  if (view.dryRun) return no("DryRun", "dryRun is set: decisions are recorded, not carried out");
  if (view.platform === "static") return no("RecommendOnly", "a list of replicas cannot be scaled: the count is only recommended");
  return ofPolicy(view, type) ?? { type, status: "True", reason: "ReadyForNewScale", message: inWords("ReadyForNewScale") };
}

function scalingActive(view: EndpointView, nowMs: Ms): Said {
  const type = "ScalingActive";
  const { pin, pausedUntilMs } = view;
  if (pin !== null && nowMs < pin.untilMs)
    return { type, status: "False", reason: "Pinned", message: `pinned at ${pin.replicas} by a person; tidegate unpin ends it` };
  if (pausedUntilMs !== null && nowMs < pausedUntilMs)
    return { type, status: "False", reason: "Paused", message: "paused by a person; tidegate resume ends it" };
  const silent = view.trouble.find(({ code }) => code === "gateway");
  if (silent !== undefined) return { type, status: "False", reason: "GatewayUnreachable", message: silent.text };
  return ofPolicy(view, type) ?? { type, status: "True", reason: "ValidMetricFound", message: inWords("ValidMetricFound") };
}

function scalingLimited(view: EndpointView): Said {
  const type = "ScalingLimited";
  if (view.limitedByFleet.length > 0)
    return { type, status: "True", reason: "FleetQuota", message: "the fleet's budget leaves fewer than are wanted" };
  return ofPolicy(view, type) ?? { type, status: "False", reason: "DesiredWithinRange", message: inWords("DesiredWithinRange") };
}

function capacity(view: EndpointView): Said {
  const type = "CapacityAvailable";
  const stuck = (code: string) => view.replicas.find((replica) => replica.trouble?.code === code);
  const out = stuck("stock-out") ?? stuck("unschedulable");
  if (out === undefined) return { type, status: "True", reason: "NothingWaits", message: "no replica waits for a place to run" };
  const reason = out.trouble?.code === "stock-out" ? "StockOut" : "Unschedulable";
  return { type, status: "False", reason, message: messageOf(out) ?? `replica ${out.id} finds no place to run` };
}

function healthy(view: EndpointView): Said {
  const type = "ReplicasHealthy";
  const reasons: Readonly<Record<string, string>> = { pull: "FailedPull", crash: "Crashing", unhealthy: "Unhealthy" };
  const sick = view.replicas.find(({ trouble, state }) => state !== "gone" && trouble !== undefined && reasons[trouble.code] !== undefined);
  if (sick?.trouble === undefined) return { type, status: "True", reason: "NoTrouble", message: "no replica is in trouble" };
  return {
    type,
    status: "False",
    reason: reasons[sick.trouble.code] as string,
    message: messageOf(sick) ?? `replica ${sick.id} is in trouble`,
  };
}

const messageOf = (replica: EndpointView["replicas"][number]): string | undefined =>
  "message" in replica ? String(replica.message) : undefined;

function ofPolicy(view: EndpointView, type: string): Said | null {
  const said = view.conditions.find((condition) => condition.type === type);
  return said === undefined ? null : { type, status: said.status, reason: said.reason, message: inWords(said.reason) };
}

/** `ReadyForNewScale` → "ready for new scale": policies give a reason, and no sentence that would change with each number. */
const inWords = (reason: string): string =>
  reason
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .toLowerCase()
    .trim() || "no reason given";

const groupOf = (apiVersion: string): string => (apiVersion.includes("/") ? `.${apiVersion.split("/")[0]}` : "");

/** RFC 3339 in whole seconds, as metav1.Time is. */
const timeText = (atMs: Ms): string => `${new Date(Math.round(atMs)).toISOString().slice(0, 19)}Z`;

function compact<Value extends object>(value: { readonly [Key in keyof Value]: Value[Key] | undefined }): Value {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => inner !== undefined)) as Value;
}
