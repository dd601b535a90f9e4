import type { ScenarioComparison, Standing } from "../simulator/index.ts";
import { type Html, html, idOf, px } from "./html.ts";
import { linear, nines } from "./scale.ts";

const size = { width: 760, height: 400, left: 74, right: 24, top: 16, bottom: 46 };
const lineHeight = 14;
/** Of a letter of a label, roughly. */
const letterWidth = 7;

/** What each policy costs against the share of requests that it serves well: up and left is better. */
export function pareto({ scenario, objective, standings }: ScenarioComparison): Html {
  const { width, height, left, right, top, bottom } = size;
  const cost = ({ figures }: Standing) => figures.cost.mean ?? 0;
  const share = ({ figures }: Standing) => figures.attainment.mean ?? 1;
  const most = Math.max(...standings.map((one) => cost(one) + (one.figures.cost.halfWidth ?? 0)));
  const x = linear(most * 1.02, left, width - right);
  const y = nines(Math.min(objective.attainment, ...standings.map(share)), height - bottom, top);
  const points = standings.map((standing) => ({ standing, x: x(cost(standing)), y: y(share(standing)) }));
  const frontier = points.filter(({ standing }) => standing.isOnFrontier).sort((a, b) => a.x - b.x);
  const steps = frontier.map((point, at) => (at === 0 ? `M${px(point.x)} ${px(point.y)}` : `H${px(point.x)}V${px(point.y)}`)).join("");
  return html`<svg class="pareto" viewBox="0 0 ${width} ${height}" role="img" aria-label="Cost against attainment of ${standings.length} policies in ${scenario}; the table below has the figures">
${x.ticks.map((tick) => html`<line class="grid" x1="${px(x(tick))}" x2="${px(x(tick))}" y1="${top}" y2="${height - bottom}"/><text class="tick" x="${px(x(tick))}" y="${height - bottom + 16}" text-anchor="middle">${tick}</text>`)}
${y.ticks.map((tick) => html`<line class="grid" x1="${left}" x2="${width - right}" y1="${px(y(tick))}" y2="${px(y(tick))}"/><text class="tick" x="${left - 8}" y="${px(y(tick) + 4)}" text-anchor="end">${shareText(tick)}</text>`)}
<text class="axis" x="${(left + width - right) / 2}" y="${height - 8}" text-anchor="middle">cost (less is better)</text>
<text class="axis" transform="translate(12 ${(top + height - bottom) / 2}) rotate(-90)" text-anchor="middle">requests within the objective</text>
<line class="wanted" x1="${left}" x2="${width - right}" y1="${px(y(objective.attainment))}" y2="${px(y(objective.attainment))}"/>
<text class="wanted-label" x="${width - right}" y="${px(y(objective.attainment) - 5)}" text-anchor="end">objective ${shareText(objective.attainment)}</text>
<path class="frontier" d="${steps}"/>
${points.map(({ standing, x: atX, y: atY }) => {
  const { attainment, cost: costs } = standing.figures;
  const wide = costs.halfWidth ?? 0;
  const high = attainment.halfWidth ?? 0;
  return html`<line class="whisker" x1="${px(x(Math.max(0, cost(standing) - wide)))}" x2="${px(x(cost(standing) + wide))}" y1="${px(atY)}" y2="${px(atY)}"/><line class="whisker" x1="${px(atX)}" x2="${px(atX)}" y1="${px(y(Math.max(0, share(standing) - high)))}" y2="${px(y(Math.min(1, share(standing) + high)))}"/>`;
})}
${labels(points).map(
  ({ standing, x: atX, y: atY, labelX, labelY, far }) =>
    html`<a href="#${idOf("why", scenario, standing.policy)}" class="point ${standing.isReference ? "reference" : standing.isMet ? "met" : "missed"}" data-policy="${standing.policy}"><title>${standing.policy}: ${shareText(share(standing))} for ${cost(standing).toFixed(2)}; its decisions</title>${far ? html`<line class="leader" x1="${px(atX)}" y1="${px(atY)}" x2="${px(labelX > atX ? labelX - 2 : labelX + standing.policy.length * letterWidth)}" y2="${px(labelY - 4)}"/>` : null}<circle cx="${px(atX)}" cy="${px(atY)}" r="5.5"/><text x="${px(labelX)}" y="${px(labelY)}">${standing.policy}</text></a>`,
)}
</svg>`;
}

const shareText = (share: number) => `${Number((100 * share).toFixed(share > 0.99 && share < 1 ? 2 : 1))} %`;

interface Point {
  readonly standing: Standing;
  readonly x: number;
  readonly y: number;
}

/** A box that something stands in already. */
interface Box {
  readonly from: number;
  readonly to: number;
  readonly top: number;
  readonly bottom: number;
}

/** Names beside their points, or as near as there is room: a name lies on no other name and on no point. */
function labels(points: readonly Point[]) {
  const taken: Box[] = points.map(({ x, y }) => ({ from: x - 7, to: x + 7, top: y - 6, bottom: y + 6 }));
  const isFree = (box: Box) =>
    box.top > 0 &&
    box.bottom < size.height - size.bottom + 4 &&
    box.from > size.left &&
    box.to < size.width &&
    !taken.some((other) => box.from < other.to && other.from < box.to && box.top < other.bottom && other.top < box.bottom);
  return [...points]
    .sort((a, b) => a.y - b.y || a.x - b.x)
    .map((point) => {
      const long = point.standing.policy.length * letterWidth;
      const places = Array.from({ length: 25 }, (_, at) => (at % 2 === 1 ? 1 : -1) * Math.ceil(at / 2) * (lineHeight / 2)).flatMap((down) =>
        [point.x + 10, point.x - 10 - long].map(
          (from): Box => ({ from, to: from + long, top: point.y + down - 6, bottom: point.y + down + 6 }),
        ),
      );
      const box = places.find(isFree) ?? (places[0] as Box);
      taken.push(box);
      return { ...point, labelX: box.from, labelY: box.bottom - 2, far: Math.abs(box.bottom - 6 - point.y) > lineHeight };
    });
}
