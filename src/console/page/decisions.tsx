import type { EndpointView } from "../../controller/index.ts";
import { elapsed } from "../format.ts";

/** The decision log: what changed and why; every step at a click. */
export function Decisions({ view, startMs }: { view: EndpointView; startMs: number }) {
  return (
    <section class="decisions" aria-label="Decisions">
      <h2>Decisions</h2>
      {view.decisions.length === 0 ? <p class="none">None yet.</p> : null}
      <ol>
        {view.decisions.slice(0, 60).map((decision) => (
          <li key={decision.seq} class={decision.to > decision.from ? "up" : decision.to < decision.from ? "down" : ""}>
            <details>
              <summary>
                <time>{elapsed(decision.atMs - startMs)}</time>
                <b>{decision.changed ? `${decision.from} → ${decision.to}` : decision.to}</b>
                <span>{decision.reason}</span>
              </summary>
              <ol>
                {decision.steps.map(({ code, text }) => (
                  <li key={`${code} ${text}`}>
                    {text} <code>{code}</code>
                  </li>
                ))}
                {decision.actions.map((action) => (
                  <li key={`${action.pool} ${action.by}`}>
                    asked the platform for {action.replicas} in {action.pool} (by {action.by}): {action.result}
                  </li>
                ))}
                <li>
                  asked because of {decision.cause}; decision {decision.seq}
                </li>
              </ol>
            </details>
          </li>
        ))}
      </ol>
    </section>
  );
}
