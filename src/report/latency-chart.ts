import type { ScenarioComparison } from "../simulator/index.ts";
import { type Html, html, px } from "./html.ts";
import { logarithmic } from "./scale.ts";
import { timeText } from "./words.ts";

const size = { width: 760, left: 140, right: 24, top: 8, row: 22, bottom: 34 };

/** Median, 95th and 99th percentile of the time to first token of each policy, on one logarithmic axis. */
export function latencyChart({ scenario, objective, standings }: ScenarioComparison): Html {
  const { width, left, right, top, row, bottom } = size;
  const height = top + row * standings.length + bottom;
  const rows = standings.map(({ policy, figures }) => ({
    policy,
    p50: figures.ttftP50Ms.mean,
    p95: figures.ttftP95Ms.mean,
    p99: figures.ttftP99Ms.mean,
  }));
  const all = rows.flatMap(({ p50, p95, p99 }) => [p50, p95, p99]).filter((value) => value !== null && value > 0) as number[];
  const bound = objective.timeToFirstTokenMs;
  const x = logarithmic(Math.min(bound, ...all) / 1.3, Math.max(bound, ...all) * 1.3, left, width - right);
  return html`<svg class="latency" viewBox="0 0 ${width} ${height}" role="img" aria-label="Time to first token of each policy in ${scenario}; the table below has the figures">
${x.ticks.map((tick) => html`<line class="grid" x1="${px(x(tick))}" x2="${px(x(tick))}" y1="${top}" y2="${height - bottom}"/><text class="tick" x="${px(x(tick))}" y="${height - bottom + 16}" text-anchor="middle">${timeText(tick)}</text>`)}
<line class="wanted" x1="${px(x(bound))}" x2="${px(x(bound))}" y1="${top}" y2="${height - bottom}"/>
<text class="wanted-label" x="${px(x(bound))}" y="${height - 3}" text-anchor="middle">objective ${timeText(bound)}</text>
${rows.map(({ policy, p50, p95, p99 }, at) => {
  const y = top + row * (at + 0.5);
  const dots = [
    ["p50", p50, 4.5],
    ["p95", p95, 4.5],
    ["p99", p99, 4.5],
  ] as const;
  const ends = [p50, p99].filter((value) => value !== null);
  return html`<text class="name" x="${left - 10}" y="${px(y + 4)}" text-anchor="end">${policy}</text>${
    ends.length < 2
      ? null
      : html`<line class="span" x1="${px(x(ends[0] as number))}" x2="${px(x(ends[1] as number))}" y1="${px(y)}" y2="${px(y)}"/>`
  }${dots.map(([name, value, radius]) => (value === null ? null : html`<circle class="${name}" cx="${px(x(value))}" cy="${px(y)}" r="${radius}"><title>${policy} ${name}: ${timeText(value)}</title></circle>`))}`;
})}
</svg>`;
}
