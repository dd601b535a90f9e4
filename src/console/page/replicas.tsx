import type { EndpointView } from "../../controller/index.ts";
import { elapsed, number } from "../format.ts";

/** A chip a replica: its state, for how long, and what it does. */
export function Replicas({ view, nowMs }: { view: EndpointView; nowMs: number }) {
  const shown = view.replicas.filter(({ state }) => state !== "gone");
  return (
    <section class="replicas" aria-label="Replicas">
      {shown.length === 0 ? <p class="none">No replica: nothing is paid for. The first request wakes one.</p> : null}
      {shown.map((replica) => {
        const sinceMs = replica.state === "starting" ? replica.entered.starting : replica.entered[replica.state];
        const forText = sinceMs === undefined ? "" : elapsed(nowMs - sinceMs);
        return (
          <div key={replica.id} class={`replica ${replica.state}`} title={replica.url ?? "no address yet"}>
            <b>{replica.id}</b>
            <span>
              {replica.state}
              {replica.state === "starting" && replica.stage !== undefined ? `: ${replica.stage}` : ""} {forText}
            </span>
            <span>{replica.state === "failed" ? (replica.trouble?.code ?? "") : `${number(replica.inFlight)} in flight`}</span>
          </div>
        );
      })}
    </section>
  );
}
