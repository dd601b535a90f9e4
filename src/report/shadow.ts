import { readFile } from "node:fs/promises";
import type { Ms } from "../model/index.ts";
import type { ShadowReport } from "../shadow/index.ts";
import type { Course, Estimate } from "../simulator/index.ts";
import { courseChart } from "./course-chart.ts";
import { type Html, html, idOf, px, raw } from "./html.ts";
import { linear } from "./scale.ts";
import { courseTable } from "./tables.ts";
import { estimateText, timeText } from "./words.ts";

const read = (name: string) => readFile(new URL(`./page/${name}`, import.meta.url), "utf8");
const size = { width: 1160, height: 240, left: 40, right: 22, top: 12, bottom: 26 };
const rateSize = { ...size, height: 110 };
const mostRows = 60;
export const CONTENDERS = { recorded: "their counts, simulated", rules: "their rules, simulated", slo: "slo, simulated" } as const;

/** What an autoscaler did, what ours would have done, and how far the simulation of the former is from what was measured. */
export async function shadowPage(reports: readonly ShadowReport[]): Promise<string> {
  const [style, script] = await Promise.all([read("style.css"), read("script.js")]);
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Shadow · Tidegate</title><style>${raw(style)}</style></head>
<body><header><h1>Beside the autoscalers that act</h1>
${reports.length < 2 ? null : html`<nav aria-label="Endpoints">${reports.map(({ name }) => html`<a href="#${idOf("endpoint", name)}">${name}</a>`)}</nav>`}
</header><main>${reports.map(section)}</main>
<output id="tip" hidden></output><script>${raw(script)}</script></body></html>
`;
  return page.html;
}

const percent = (share: number, digits = 2) => `${(100 * share).toFixed(digits)} %`;
/** A range of shares, or the one value that it comes to. */
export const rangeText = ({ least, most }: { readonly least: number; readonly most: number }): string =>
  percent(least) === percent(most) ? percent(least) : `${percent(least)} to ${percent(most)}`;
const when = (ms: Ms) => new Date(ms).toISOString().replace("T", " ").slice(0, 16);

function section(report: ShadowReport): Html {
  const { name, by, model, measured, traffic, objective, simulated, bounds } = report;
  const courses = simulated?.contenders ?? [];
  const top = Math.max(1, ...courses.flatMap(({ course }) => [...course.billed, ...course.demand]));
  return html`<section id="${idOf("endpoint", name)}"><h2>${name}</h2>
<p class="about">${by} scales ${model} from ${bounds.min} to ${bounds.max} replicas of ${report.gpusPerReplica} GPU${report.gpusPerReplica === 1 ? "" : "s"}. ${when(measured.fromMs)} to ${when(measured.toMs)} UTC; ${traffic.requests.toLocaleString("en-US")} requests, as the ${traffic.from === "gateway" ? "gateway" : "engines"} counted. Objective: ${Number((100 * objective.attainment).toFixed(2))} % of requests within ${timeText(objective.timeToFirstTokenMs)} to the first token and ${timeText(objective.timePerOutputTokenMs)} a token. ${report.pricePerReplicaHour} for a replica-hour.</p>
<p class="verdict">${report.verdict}</p>
${figures(report)}
<h3>Measured: what they did, and what slo wanted beside it</h3>
<p class="legend"><span class="key ready"></span>ready <span class="key paid"></span>paid for, not ready <span class="key theirs"></span>asked for by them <span class="key ours"></span>wanted by slo, given their fleet</p>
${measuredChart(report)}${demandChart(report)}${measuredTable(report)}
${
  courses.length === 0
    ? null
    : html`<h3>Simulated: the same demand under each</h3>
<p class="legend"><span class="key ready"></span>ready <span class="key paid"></span>paid for, not ready <span class="key demand"></span>demand: replicas that what arrives would keep busy; the first seed, time since the beginning</p>
<div class="courses">${courses.map(({ name: contender, figures: of, course }) => courseFigure(name, CONTENDERS[contender], course, of.attainment, of.cost, top))}</div>`
}
${checks(report)}
${footnotes(report)}
</section>`;
}

function figures({ name, measured, simulated }: ShadowReport): Html {
  const range = measured.attainment;
  const simulatedRows = (simulated?.contenders ?? []).map(
    ({ name: contender, figures: of }) =>
      html`<tr><th scope="row">${CONTENDERS[contender]}</th><td>${estimateText(of.gpuHours, 2)}</td><td>${estimateText(of.cost, 2)}</td><td>${estimateText(of.attainment, 2, 100, " %")}</td><td>${timeText(of.ttftP95Ms.mean)}</td><td>${timeText(of.tpotP95Ms.mean)}</td><td>${of.readyMean.mean?.toFixed(2) ?? "–"}</td><td>${of.scaleEvents.mean?.toFixed(1) ?? "–"}</td></tr>`,
  );
  const difference = simulated?.difference;
  return html`<div class="scroll figures"><table><caption>What ${name} cost, and would have cost</caption><thead><tr>${["", "GPU-hours", "Cost", "Within the objective", "TTFT p95", "TPOT p95", "Ready", "Changes"].map((head) => html`<th scope="col">${head}</th>`)}</tr></thead><tbody>
<tr><th scope="row">theirs, measured</th><td>${measured.gpuHours.toFixed(2)}</td><td>${measured.cost.toFixed(2)}</td><td>${range === null ? "–" : rangeText(range)}</td><td>${timeText(measured.ttft?.p95Ms ?? null)}</td><td>${timeText(measured.tpot?.p95Ms ?? null)}</td><td>${measured.readyMean.toFixed(2)}</td><td>${measured.ups + measured.downs}</td></tr>
${simulatedRows}
${
  difference === undefined
    ? null
    : html`<tr class="difference"><th scope="row">slo less their counts</th><td>${estimateText(difference.gpuHours, 2)}</td><td>${estimateText(difference.cost, 2)}</td><td>${estimateText(difference.attainment, 2, 100, " points")}</td><td></td><td></td><td></td><td></td></tr>`
}
</tbody></table></div>`;
}

type Step = { readonly atMs: Ms; readonly value: number | null };

/** Steps as a line; a stretch in which nothing was said is left out. */
function stepLine(steps: readonly Step[], endMs: Ms, x: (ms: Ms) => number, y: (value: number) => number): string {
  let open = false;
  return steps
    .map(({ atMs, value }, at) => {
      const toMs = steps[at + 1]?.atMs ?? endMs;
      if (value === null) {
        open = false;
        return "";
      }
      const start = open ? `V${px(y(value))}` : `M${px(x(atMs))} ${px(y(value))}`;
      open = true;
      return `${start}H${px(x(toMs))}`;
    })
    .join("");
}

const stepArea = (
  steps: readonly { readonly atMs: Ms; readonly value: number }[],
  endMs: Ms,
  x: (ms: Ms) => number,
  y: (value: number) => number,
): string =>
  steps.length === 0
    ? ""
    : `M${px(x((steps[0] as Step).atMs))} ${px(y(0))}${steps.map(({ value }, at) => `V${px(y(value))}H${px(x(steps[at + 1]?.atMs ?? endMs))}`).join("")}V${px(y(0))}Z`;

const tickSteps: readonly Ms[] = [1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 10_080].map((minutes) => minutes * 60_000);

/** Round times of day, at most nine. */
function timeTicks(fromMs: Ms, toMs: Ms): readonly { readonly atMs: Ms; readonly text: string }[] {
  const stepMs = tickSteps.find((step) => (toMs - fromMs) / step <= 8) ?? (tickSteps.at(-1) as Ms);
  const first = Math.ceil(fromMs / stepMs) * stepMs;
  const ticks = [];
  for (let atMs = first; atMs <= toMs; atMs += stepMs) {
    const text = new Date(atMs).toISOString();
    ticks.push({ atMs, text: stepMs >= 86_400_000 || text.slice(11, 16) === "00:00" ? text.slice(5, 10) : text.slice(11, 16) });
  }
  return ticks;
}

function frame(fromMs: Ms, toMs: Ms, of: typeof size) {
  const { width, height, left, right, bottom, top } = of;
  const x = (ms: Ms) => left + ((width - left - right) * (Math.min(toMs, Math.max(fromMs, ms)) - fromMs)) / Math.max(1, toMs - fromMs);
  const ticks = html`${timeTicks(fromMs, toMs).map(({ atMs, text }) => html`<line class="grid" x1="${px(x(atMs))}" x2="${px(x(atMs))}" y1="${top}" y2="${height - bottom}"/><text class="tick" x="${px(x(atMs))}" y="${height - 8}" text-anchor="middle">${text}</text>`)}`;
  const rows = (y: ReturnType<typeof linear>) =>
    html`${y.ticks.map((tick) => html`<line class="grid" x1="${left}" x2="${width - right}" y1="${px(y(tick))}" y2="${px(y(tick))}"/><text class="tick" x="${left - 6}" y="${px(y(tick) + 4)}" text-anchor="end">${tick}</text>`)}`;
  return { x, ticks, rows };
}

function measuredChart({ name, measured }: ShadowReport): Html {
  const { fromMs, toMs, fleet, ours } = measured;
  const most = Math.max(1, ...fleet.flatMap(({ billed, wanted }) => [billed, wanted]), ...ours.map(({ replicas }) => replicas ?? 0));
  const y = linear(most, size.height - size.bottom, size.top);
  const { x, ticks, rows } = frame(fromMs, toMs, size);
  const of = (key: "billed" | "ready" | "wanted") => fleet.map((one) => ({ atMs: one.atMs, value: one[key] }));
  return html`<svg class="course measured" viewBox="0 0 ${size.width} ${size.height}" role="img" aria-label="Replicas of ${name} over time, and what slo wanted; the table below has the figures">
${rows(y)}${ticks}
<path class="paid" d="${stepArea(of("billed"), toMs, x, y)}"/>
<path class="ready" d="${stepArea(of("ready"), toMs, x, y)}"/>
<path class="theirs" d="${stepLine(of("wanted"), toMs, x, y)}"/>
<path class="ours" d="${stepLine(
    ours.map(({ atMs, replicas }) => ({ atMs, value: replicas })),
    toMs,
    x,
    y,
  )}"/>
</svg>`;
}

function demandChart({ name, measured, demand }: ShadowReport): Html {
  const { fromMs, toMs } = measured;
  const y = linear(
    Math.max(0.1, ...demand.map(({ requestsPerSecond }) => requestsPerSecond)),
    rateSize.height - rateSize.bottom,
    rateSize.top,
  );
  const { x, ticks, rows } = frame(fromMs, toMs, rateSize);
  return html`<p class="legend"><span class="key demand"></span>requests that arrived, a second</p><svg class="course measured" viewBox="0 0 ${rateSize.width} ${rateSize.height}" role="img" aria-label="Requests a second of ${name} over time; the table below has the figures">
${rows(y)}${ticks}<path class="demand" d="${stepLine(
    demand.map(({ atMs, requestsPerSecond }) => ({ atMs, value: requestsPerSecond })),
    toMs,
    x,
    y,
  )}"/></svg>`;
}

function measuredTable({ name, measured, demand }: ShadowReport): Html {
  const { fromMs, toMs, fleet, ours } = measured;
  const stepMs = Math.max(1, (toMs - fromMs) / mostRows);
  const moments = Array.from({ length: mostRows }, (_, at) => fromMs + at * stepMs);
  return html`<details class="data"><summary>Data</summary><div class="scroll"><table><caption>Replicas of ${name} as measured</caption><thead><tr>${["UTC", "Asked for", "Ready", "Paid for", "slo wants", "Requests a second"].map((head) => html`<th scope="col">${head}</th>`)}</tr></thead><tbody>
${moments.map((atMs) => {
  const now = fleet.findLast((one) => one.atMs <= atMs);
  const wants = ours.findLast((one) => one.atMs <= atMs)?.replicas ?? null;
  const rate = demand.findLast((one) => one.atMs <= atMs)?.requestsPerSecond;
  return html`<tr><th scope="row">${new Date(atMs).toISOString().slice(5, 19).replace("T", " ")}</th><td>${now?.wanted ?? "–"}</td><td>${now?.ready ?? "–"}</td><td>${now?.billed ?? "–"}</td><td>${wants ?? "–"}</td><td>${rate === undefined ? "–" : rate.toFixed(2)}</td></tr>`;
})}
</tbody></table></div></details>`;
}

const courseFigure = (scenario: string, title: string, course: Course, attainment: Estimate, cost: Estimate, top: number): Html =>
  html`<figure><figcaption><b>${title}</b> ${estimateText(attainment, 2, 100, " %")} for ${estimateText(cost, 2)}</figcaption>
${courseChart(scenario, { policy: title, changes: null }, course, top)}${courseTable(title, course)}</figure>`;

function checks({ checks: all }: ShadowReport): Html {
  if (all.length === 0) return html``;
  const form = (unit: (typeof all)[number]["unit"], value: number) =>
    unit === "ms" ? timeText(value) : unit === "share" ? percent(value) : value.toFixed(2);
  return html`<h3>How near the simulation of what they did is to what was measured</h3>
<div class="scroll figures"><table><caption>Measured against simulated</caption><thead><tr>${["", "Measured", "Simulated", ""].map((head) => html`<th scope="col">${head}</th>`)}</tr></thead><tbody>
${all.map(
  ({ what, unit, measured, simulated, isNear }) =>
    html`<tr><th scope="row">${what}</th><td>${typeof measured === "number" ? form(unit, measured) : rangeText(measured)}</td><td>${unit === "ms" ? timeText(simulated.mean) : unit === "share" ? estimateText(simulated, 2, 100, " %") : estimateText(simulated, 2)}</td><td class="${isNear ? "met" : "missed"}">${isNear ? "near" : "off"}</td></tr>`,
)}
</tbody></table></div>`;
}

function footnotes({ agreement, by, beside, rulesWhy, simulated, measured }: ShadowReport): Html {
  const notes = [
    `Given their fleet, slo wanted more for ${percent(beside.more, 0)}, fewer for ${percent(beside.fewer, 0)} and the same for ${percent(beside.same, 0)} of the time. That is no figure of cost: had it acted, the fleet would have been another one.`,
    ...(agreement === null || agreement.compared === 0
      ? []
      : [
          `Their rules, followed on the same readings, came to the count that ${by} stated in ${agreement.near} of ${agreement.compared} looks within one of its intervals, ${agreement.same} of them at that very moment.`,
        ]),
    ...(rulesWhy === null ? [] : [`${rulesWhy.charAt(0).toUpperCase()}${rulesWhy.slice(1)}.`]),
    ...(simulated === null
      ? []
      : [
          `Simulated with the speed of ${simulated.profile.model} on ${simulated.profile.gpu}, tensor parallelism ${simulated.profile.tp} (${simulated.profile.source}); ${simulated.coldStart.from === "measured" ? `cold starts as often as each of the ${measured.coldStartsMs.length} measured ones` : "an assumed cold start, as fewer than three were measured"}; ${simulated.seeds} seeds, 95 % intervals over them.`,
          "Demand is what the engines counted: what waited outside them, and requests while there was no replica, are not in it. slo begins knowing nothing, as on its first day.",
        ]),
    ...(measured.unseenMs > 0 ? [`For ${timeText(measured.unseenMs)} nothing was looked at; the engines' counters bridge it.`] : []),
  ];
  return html`<h3>Notes</h3><ul class="notes">${notes.map((note) => html`<li>${note}</li>`)}</ul>`;
}
