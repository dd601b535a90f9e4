import type { EndpointView } from "../../controller/index.ts";
import type { Stage } from "../../model/index.ts";
import { elapsed, seconds } from "../format.ts";

const stageColour: Readonly<Record<Stage, string>> = {
  schedule: "#57606a",
  provision: "#8250df",
  pull: "#2f81f7",
  load: "#d4a72c",
  warmup: "#2da44e",
  wake: "#0a7ea4",
};

/** Cold starts by stage, newest first, with what each cost before it served. */
export function ColdStarts({ view, startMs }: { view: EndpointView; startMs: number }) {
  const starts = [...view.coldStarts].reverse().slice(0, 25);
  const longest = Math.max(1, ...starts.map(({ totalMs }) => totalMs));
  const spent = view.coldStarts.reduce((sum, { cost }) => sum + cost, 0);
  const totals = new Map<Stage, number>();
  for (const { stages } of view.coldStarts) {
    for (const [stage, ms] of Object.entries(stages) as [Stage, number][]) totals.set(stage, (totals.get(stage) ?? 0) + ms);
  }
  const all = [...totals.values()].reduce((sum, ms) => sum + ms, 0);
  return (
    <section class="cold" aria-label="Cold starts">
      <h2>Cold starts</h2>
      {starts.length === 0 ? (
        <p class="none">None measured yet.</p>
      ) : (
        <p>
          {view.coldStarts.length} measured, P90 {seconds((view.coldStartP90Ms ?? 0) / 1000)}; waiting for them cost {spent.toFixed(3)} of{" "}
          {view.cost.total.toFixed(3)}.
        </p>
      )}
      <p class="keys">
        {[...totals].map(([stage, ms]) => (
          <span key={stage} class="key">
            <i style={{ background: stageColour[stage] }} />
            {stage} {Math.round((100 * ms) / all)} %
          </span>
        ))}
      </p>
      <ol>
        {starts.map((start) => (
          <li key={start.replica}>
            <time>{elapsed(start.readyAtMs - startMs)}</time>
            <b>{start.replica}</b>
            <div class="bar" style={{ width: `${(100 * start.totalMs) / longest}%` }}>
              {(Object.entries(start.stages) as [Stage, number][]).map(([stage, ms]) => (
                <i key={stage} style={{ flexGrow: ms, background: stageColour[stage] }} title={`${stage} ${seconds(ms / 1000)}`} />
              ))}
            </div>
            <span>{seconds(start.totalMs / 1000)}</span>
          </li>
        ))}
      </ol>
    </section>
  );
}
