import { formatDuration, type Ms } from "../../model/index.ts";
import type { Shape } from "../../traces/index.ts";
import type { Distribution } from "../distribution.ts";
import type { Scenario } from "../scenario/index.ts";

/** A scenario in one line. */
export function describeScenario(scenario: Scenario): string {
  const { traffic, replicas, coldStart, faults, splitMs } = scenario;
  const what =
    traffic.kind === "trace"
      ? `${traffic.file}${traffic.overlay === 1 ? "" : ` × ${traffic.overlay}`}${traffic.perClientEndpoint ? ", an endpoint for each client" : ""}`
      : shapeText(traffic.shape) +
        (traffic.longPrompts === null
          ? ""
          : `, prompts × ${traffic.longPrompts.times} from ${time(traffic.longPrompts.fromMs)} to ${time(traffic.longPrompts.toMs)}`);
  return [
    what,
    `${scenario.profile}${scenario.gpu === undefined ? "" : ` on ${scenario.gpu}`}`,
    `${replicas.min} to ${replicas.max} replicas`,
    `cold start ${time(medianOf(coldStart))}`,
    ...(scenario.standby === null ? [] : [`${scenario.standby.count} asleep`]),
    ...(faults.length === 0 ? [] : [`faults: ${[...new Set(faults.map(({ kind }) => kind))].join(", ")}`]),
    ...(splitMs === null ? [] : [`reported after ${time(splitMs)}`]),
  ].join("; ");
}

const time = (ms: Ms) => formatDuration(Math.round(ms));
const medianOf = (distribution: Distribution): Ms => {
  if (typeof distribution === "number") return distribution;
  if ("medianMs" in distribution) return distribution.medianMs;
  const sorted = [...distribution.valuesMs].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
};

function shapeText(shape: Shape): string {
  switch (shape.kind) {
    case "steady":
      return `steady ${shape.rps}/s for ${time(shape.durationMs)}`;
    case "ramp":
      return `${shape.from}/s to ${shape.to}/s within ${time(shape.overMs)}`;
    case "step":
      return `${shape.from}/s, at once ${shape.to}/s for ${time(shape.holdMs)}`;
    case "on-off":
      return `${shape.base}/s, ${shape.burst}/s for ${time(shape.forMs)} every ${time(shape.everyMs)}`;
    case "flash":
      return `${shape.base}/s, within ${time(shape.riseMs)} ${shape.peak}/s for ${time(shape.holdMs)}`;
    case "diurnal":
      return `${shape.low}/s by night to ${shape.high}/s by day for ${time(shape.durationMs)}`;
  }
}
