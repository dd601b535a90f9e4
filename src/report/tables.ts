import type { Course, ScenarioComparison, Standing } from "../simulator/index.ts";
import { type Html, html, idOf } from "./html.ts";
import { clock, estimateText, timeText } from "./words.ts";

/** Every figure of every policy. */
export function figureTable({ scenario, standings }: ScenarioComparison): Html {
  const hasClairvoyant = standings.some(({ toClairvoyant }) => toClairvoyant !== null);
  const heads = ["Policy", "Objective", "Attainment", "GPU-hours", "Cost", "TTFT p50", "p95", "p99", "TPOT p50", "p95"];
  const counts = ["Requests", "Held", "Failed", "Rejected", "Changes", "Reversals", "Minutes missed"];
  return html`<div class="scroll"><table><caption>Figures of ${scenario}</caption><thead><tr>${[...heads, ...counts, ...(hasClairvoyant ? ["To clairvoyant"] : [])].map((head) => html`<th scope="col">${head}</th>`)}</tr></thead><tbody>
${standings.map((standing) => {
  const { policy, isMet, isOnFrontier, figures, toClairvoyant } = standing;
  const time = (name: "ttftP50Ms" | "ttftP95Ms" | "ttftP99Ms" | "tpotP50Ms" | "tpotP95Ms") =>
    html`<td>${timeText(figures[name].mean)}</td>`;
  return html`<tr data-policy="${policy}"><th scope="row"><a href="#${idOf("why", scenario, policy)}">${policy}</a>${isOnFrontier ? html` <abbr title="nobody is cheaper without being worse">◆</abbr>` : null}</th>
<td class="${isMet ? "met" : "missed"}">${isMet ? "met" : "missed"}</td><td>${estimateText(figures.attainment, 2, 100, " %")}</td><td>${estimateText(figures.gpuHours, 2)}</td><td>${estimateText(figures.cost, 2)}</td>
${time("ttftP50Ms")}${time("ttftP95Ms")}${time("ttftP99Ms")}${time("tpotP50Ms")}${time("tpotP95Ms")}
${(["arrived", "held", "failed", "rejected", "scaleEvents", "reversals", "violationMinutes"] as const).map((name) => html`<td>${countText(figures[name].mean)}</td>`)}${hasClairvoyant ? html`<td>${toClairvoyant === null ? "–" : estimateText(toClairvoyant, 2, 1, " ×")}</td>` : null}</tr>`;
})}
</tbody></table></div>`;
}

const countText = (value: number | null) => (value === null ? "–" : Number(value.toFixed(1)).toLocaleString("en-US"));

/** Rows of a course that a table shows. */
const MOST_ROWS = 60;

/** What a chart of replicas shows, for those who do not see it. */
export function courseTable(policy: string, course: Course): Html {
  const every = Math.max(1, Math.ceil(course.atMs.length / MOST_ROWS));
  const rows = course.atMs.map((atMs, at) => ({ atMs, at })).filter(({ at }) => at % every === 0);
  const cell = (values: readonly number[], at: number) => html`<td>${(values[at] as number).toFixed(1)}</td>`;
  return html`<details class="data"><summary>Data</summary><div class="scroll"><table><caption>Replicas of ${policy} over time</caption><thead><tr>${["Time", "Demand", "Ready", "Paid for", "Waiting", "Within objective"].map((head) => html`<th scope="col">${head}</th>`)}</tr></thead><tbody>
${rows.map(({ atMs, at }) => {
  const share = course.attainment[at];
  return html`<tr><th scope="row">${clock(atMs)}</th>${cell(course.demand, at)}${cell(course.ready, at)}${cell(course.billed, at)}${cell(course.queue, at)}<td>${share === null || share === undefined ? "–" : `${(100 * share).toFixed(1)} %`}</td></tr>`;
})}
</tbody></table></div></details>`;
}

/** Each change of the count with the policy's own sentences. */
export function explanations(scenario: string, { policy, changes }: Standing): Html {
  if (changes === null)
    return html`<p class="about" id="${idOf("why", scenario, policy)}">It knows what will arrive: there are no reasons to read.</p>`;
  const { list } = changes;
  const left = changes.count - list.length;
  return html`<details class="why" id="${idOf("why", scenario, policy)}"><summary>Why: ${changes.count} changes of ${policy}${left > 0 ? `, ${list.length} of them shown` : ""}</summary>
${list.length === 0 ? html`<p>It never changed the number of replicas.</p>` : null}<ol>
${list.map(({ atMs, pool, from, to, why }, at) => html`<li id="${idOf("change", scenario, policy, at)}"><span class="when">${clock(atMs)}</span> <b>${from} → ${to}</b>${pool === "default" ? null : ` ${pool}`}<ul>${why.map((sentence) => html`<li>${sentence}</li>`)}</ul></li>`)}
</ol></details>`;
}
