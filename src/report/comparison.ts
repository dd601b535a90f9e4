import { readFile } from "node:fs/promises";
import type { ScenarioComparison, Standing } from "../simulator/index.ts";
import { courseChart } from "./course-chart.ts";
import { type Html, html, idOf, raw } from "./html.ts";
import { latencyChart } from "./latency-chart.ts";
import { pareto } from "./pareto.ts";
import { courseTable, explanations, figureTable } from "./tables.ts";
import { timeText } from "./words.ts";

export interface ComparisonReport {
  readonly title: string;
  readonly comparisons: readonly ScenarioComparison[];
}

const read = (name: string) => readFile(new URL(`./page/${name}`, import.meta.url), "utf8");

/** The page. Pictures are drawn already: the script only points at values and opens what a link leads to. */
export async function comparisonReport({ title, comparisons }: ComparisonReport): Promise<string> {
  const [style, script] = await Promise.all([read("style.css"), read("script.js")]);
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${title} · Tidegate</title><style>${raw(style)}</style></head>
<body><header><h1>${title}</h1>
${comparisons.length < 2 ? null : html`<nav aria-label="Scenarios">${comparisons.map(({ scenario }) => html`<a href="#${idOf("scenario", scenario)}">${scenario}</a>`)}</nav>`}
</header><main>${comparisons.map(section)}</main>
<output id="tip" hidden></output><script>${raw(script)}</script></body></html>
`;
  return page.html;
}

function section(comparison: ScenarioComparison): Html {
  const { scenario, describes, objective, seeds, standings } = comparison;
  const { attainment, timeToFirstTokenMs, timePerOutputTokenMs } = objective;
  const drawn = standings.filter(({ course }) => course !== null);
  const top = Math.max(1, ...drawn.flatMap(({ course }) => [...(course?.billed ?? []), ...(course?.demand ?? [])]));
  return html`<section id="${idOf("scenario", scenario)}"><h2>${scenario}</h2>
<p class="about">${describes}. Objective: ${Number((100 * attainment).toFixed(2))} % of requests within ${timeText(timeToFirstTokenMs)} to the first token and ${timeText(timePerOutputTokenMs)} a token.${seeds > 1 ? ` Means of ${seeds} seeds with 95 % confidence intervals.` : ""}</p>
<p class="verdict">${verdict(standings)}</p>
${standings.length < 2 ? null : html`<h3>Cost against attainment</h3><p class="legend"><span class="key met"></span>met the objective <span class="key missed"></span>missed it <span class="key frontier"></span>nobody is cheaper without being worse${standings.some(({ isReference }) => isReference) ? html` <span class="key reference"></span>knows the future` : null}</p>${pareto(comparison)}`}
${figureTable(comparison)}
<h3>Replicas against demand</h3>
<p class="legend"><span class="key ready"></span>ready <span class="key paid"></span>paid for, not ready <span class="key demand"></span>demand: replicas that what arrives would keep busy <span class="key up"></span>grows <span class="key down"></span>shrinks${seeds > 1 ? "; the first seed" : ""}</p>
<div class="courses">${drawn.map((standing) => figure(scenario, standing, top))}</div>
<h3>Time to first token</h3><p class="legend"><span class="key p50"></span>p50 <span class="key p95"></span>p95 <span class="key p99"></span>p99</p>
${latencyChart(comparison)}
</section>`;
}

function figure(scenario: string, standing: Standing, top: number): Html {
  const { policy, isMet, figures, course } = standing;
  if (course === null) return html``;
  const share = figures.attainment.mean;
  return html`<figure data-policy="${policy}"><figcaption><b>${policy}</b> <span class="${isMet ? "met" : "missed"}">${share === null ? "no requests" : `${(100 * share).toFixed(2)} %`}</span> for ${(figures.cost.mean ?? 0).toFixed(2)}</figcaption>
${courseChart(scenario, standing, course, top)}${courseTable(policy, course)}${explanations(scenario, standing)}</figure>`;
}

/** What a reader should take away, in a sentence. */
function verdict(all: readonly Standing[]): string {
  const standings = all.filter(({ isReference }) => !isReference);
  const met = standings.filter(({ isMet }) => isMet);
  const [best] = met;
  if (best === undefined) {
    const [nearest] = standings;
    return nearest === undefined
      ? ""
      : `${standings.length === 1 ? nearest.policy : "Nobody"} ${standings.length === 1 ? "missed the objective" : `met the objective; ${nearest.policy} came nearest`} (${((nearest.figures.attainment.mean ?? 0) * 100).toFixed(2)} %).`;
  }
  const cost = best.figures.cost.mean ?? 0;
  if (standings.length === 1) return `${best.policy} met the objective for ${cost.toFixed(2)}.`;
  const next = met[1];
  const ahead =
    next === undefined || cost === 0
      ? ""
      : `; ${next.policy} comes next, at ${(((next.figures.cost.mean ?? 0) / cost - 1) * 100).toFixed(0)} % more`;
  return `${met.length} of ${standings.length} policies met the objective. The cheapest of them is ${best.policy}, for ${cost.toFixed(2)}${ahead}.`;
}
