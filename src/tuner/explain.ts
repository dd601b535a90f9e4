import type { Outcome } from "./outcome.ts";
import type { Stage, Tuned } from "./tune.ts";

const percent = (share: number, digits = 2) => `${(100 * share).toFixed(digits)} %`;
const number = (value: number) => String(Number(value.toPrecision(4)));

/** What was found and what each change did, a line each, for a comment over the manifest. */
export function explainTuned({ before, found, known, ablation, explained, candidates }: Tuned): readonly string[] {
  const stages: readonly (readonly [Stage, string])[] = [
    ["train", "tuned on"],
    ["validation", "chosen by"],
    ["test", "not seen before"],
  ];
  return [
    `Tuned by tidegate tune, ${candidates} candidates. GPU-hours and requests within the objective, before → found:`,
    ...stages.flatMap(([stage, words]) => {
      const [was, is] = [before[stage], found[stage]];
      return was === null || is === null ? [] : [`  ${words}: ${figures(was)} → ${figures(is)}`];
    }),
    ...(!explained
      ? []
      : ablation.length === 0
        ? ["Nothing that was tried is worth a change."]
        : ["What each change does, as far as was tuned on (alone back at what it was):"]),
    ...ablation.map(
      ({ knob, before: was, found: value, without }) =>
        `  ${knob}: ${number(was)} → ${number(value)}; without it ${effect(without, known)}.`,
    ),
  ];
}

const figures = ({ gpuHours, attainment }: Outcome) => `${gpuHours.toFixed(2)} h at ${percent(attainment)}`;

function effect(without: Outcome, known: Outcome): string {
  if (!Number.isFinite(without.gpuHours)) return "the document is refused";
  const cost = without.gpuHours / known.gpuHours - 1;
  const words = Math.abs(cost) < 0.0005 ? "costs the same" : `costs ${percent(Math.abs(cost), 1)} ${cost > 0 ? "more" : "less"}`;
  return `it ${words} and holds ${percent(without.attainment)} instead of ${percent(known.attainment)}`;
}
