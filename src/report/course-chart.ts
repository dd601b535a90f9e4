import type { Change, Course, Standing } from "../simulator/index.ts";
import { type Html, html, idOf, px } from "./html.ts";
import { linear, type Scale } from "./scale.ts";
import { clock } from "./words.ts";

const size = { width: 560, height: 190, left: 34, right: 10, top: 10, bottom: 40 };

/** Replicas against demand over time, with the moments of change below; `top` is shared, so that charts beside each other compare. */
export function courseChart(scenario: string, standing: Pick<Standing, "policy" | "changes">, course: Course, top: number): Html {
  const { width, height, left, right, bottom } = size;
  const fromMs = course.atMs[0] ?? 0;
  const endMs = (course.atMs.at(-1) ?? 0) + course.stepMs;
  const x = (ms: number) => left + ((width - left - right) * (ms - fromMs)) / Math.max(1, endMs - fromMs);
  const y = linear(top, height - bottom, size.top);
  const stepHours = linear((endMs - fromMs) / 3_600_000, 0, 1).ticks[1] as number;
  const firstStep = Math.ceil(fromMs / 3_600_000 / stepHours - 1e-9);
  const hours = Array.from({ length: 12 }, (_, at) => (firstStep + at) * stepHours).filter((hour) => hour * 3_600_000 <= endMs + 1);
  const round = (values: readonly number[]) => values.map((value) => Number(value.toFixed(2)));
  const data = JSON.stringify({
    atMs: course.atMs,
    left,
    right: width - right,
    columns: { demand: round(course.demand), ready: round(course.ready), paid: round(course.billed), queue: round(course.queue) },
  });
  return html`<svg class="course" viewBox="0 0 ${width} ${height}" data-course="${data}" role="img" aria-label="Replicas of ${standing.policy} against demand in ${scenario}; its table has the figures">
${y.ticks.map((tick) => html`<line class="grid" x1="${left}" x2="${width - right}" y1="${px(y(tick))}" y2="${px(y(tick))}"/><text class="tick" x="${left - 6}" y="${px(y(tick) + 4)}" text-anchor="end">${tick}</text>`)}
${hours.map((hour) => html`<text class="tick" x="${px(x(hour * 3_600_000))}" y="${height - 4}" text-anchor="middle">${hourText(hour)}</text>`)}
<path class="paid" d="${area(course, course.billed, x, y)}"/>
<path class="ready" d="${area(course, course.ready, x, y)}"/>
<path class="demand" d="${line(course, course.demand, x, y)}"/>
${(standing.changes?.list ?? []).map((change, at) => changeMark(scenario, standing.policy, change, at, x(change.atMs), height - bottom + 6))}
<line class="cross" x1="0" x2="0" y1="${size.top}" y2="${height - bottom}"/>
</svg>`;
}

const hourText = (hour: number) => (hour === 0 ? "0" : hour < 1 ? `${Math.round(hour * 60)} min` : `${Number(hour.toFixed(2))} h`);

function changeMark(scenario: string, policy: string, { atMs, from, to }: Change, at: number, x: number, y: number): Html {
  const up = to > from;
  const shape = up ? `M${px(x)} ${y}l3.5 7h-7z` : `M${px(x)} ${y + 16}l3.5 -7h-7z`;
  return html`<a href="#${idOf("change", scenario, policy, at)}" tabindex="-1"><path class="${up ? "up" : "down"}" d="${shape}"><title>${clock(atMs)}: ${from} to ${to}</title></path></a>`;
}

function area(course: Course, values: readonly number[], x: (ms: number) => number, y: Scale): string {
  if (values.length === 0) return "";
  const steps = values.map((value, at) => `V${px(y(value))}H${px(x((course.atMs[at] as number) + course.stepMs))}`).join("");
  return `M${px(x(course.atMs[0] as number))} ${px(y(0))}${steps}V${px(y(0))}Z`;
}

function line(course: Course, values: readonly number[], x: (ms: number) => number, y: Scale): string {
  return values
    .map((value, at) => `${at === 0 ? "M" : "L"}${px(x((course.atMs[at] as number) + course.stepMs / 2))} ${px(y(value))}`)
    .join("");
}
