/** The library: the decision engine alone. No I/O and no clock: time is what Observations and events say. */
import { parseConfigDocuments } from "./config/index.ts";
import { createLedger, type Ending, type Finished, type Ticket } from "./ledger/index.ts";
import {
  type Decision,
  type Endpoint,
  type Json,
  type Ms,
  type Need,
  type Observation,
  type Outcome,
  type Slot,
  TidegateError,
} from "./model/index.ts";
import { createPolicy } from "./policy/index.ts";

/**
 * What happened to one request, `request` being any name that is its own while it is open. A request begins with `arrived`, may be
 * `held` while no replica can take it, is `dispatched` to a replica, and ends once. Time should not go back.
 */
export type RequestEvent =
  | {
      readonly kind: "arrived";
      readonly atMs: Ms;
      readonly request: string;
      readonly promptTokens: number;
      readonly prefixHitTokens?: number;
      readonly class?: string;
    }
  | { readonly kind: "held"; readonly atMs: Ms; readonly request: string }
  | { readonly kind: "dispatched"; readonly atMs: Ms; readonly request: string; readonly replica: string }
  | { readonly kind: "firstToken"; readonly atMs: Ms; readonly request: string }
  | { readonly kind: Ending; readonly atMs: Ms; readonly request: string; readonly outputTokens?: number };

/** An Observation as a caller has it: without `slots`, they are folded from the events. */
export type ObservationInput = Omit<Observation, "slots"> & { readonly slots?: Observation["slots"] };

export interface Autoscaler {
  readonly endpoint: Endpoint;
  /** Kind of the policy: static, signals, slo or hpa. */
  readonly kind: string;
  /** Series that the policy reads; one that is missing or stale makes it hold. */
  readonly needs: readonly Need[];
  /** Causes on which to ask before `nextAtMs`. */
  readonly wakesOn: readonly Observation["cause"][];
  /**
   * Counts an event; @returns what is known of a request that ended.
   * @throws TidegateError `usage` for an event of a request that never arrived or has ended
   */
  observe(event: RequestEvent): Finished | undefined;
  /** What should be asked of the platform now. Ask again at `nextAtMs`, or at once on a cause in `wakesOn`. */
  decide(observation: ObservationInput): Decision;
  /** Tells what became of a Decision: a refused change is not remembered. */
  settle(outcome: Outcome): Decision["conditions"];
  /** All that was learned, as JSON. Requests that are open, and the events of the second that is, are not in it. */
  snapshot(): Json;
  /** Goes on from a snapshot of the same endpoint; events of requests that arrived before it are passed over. */
  restore(snapshot: Json): void;
}

export interface AutoscalerOptions {
  /** Which Endpoint of the documents; needed where there are several. */
  readonly name?: string;
  /** For secrets that the documents take from the environment. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

type Snapshot = {
  readonly version: 1;
  readonly endpoint: string;
  readonly policy: string;
  readonly started: boolean;
  readonly state: Json;
  readonly unseen: readonly Slot[] | null;
};

/**
 * Binds a policy to an Endpoint: one that is validated already, or parsed documents (the objects that `tidegate.yaml` holds,
 * HorizontalPodAutoscalers among them).
 * @throws TidegateError `config/invalid` for documents with mistakes, `usage` when no Endpoint, or no single one, is meant
 */
export function createAutoscaler(source: Endpoint | readonly unknown[], options: AutoscalerOptions = {}): Autoscaler {
  const endpoint = isDocuments(source) ? endpointOf(source, options) : source;
  const policy = createPolicy(endpoint);
  const fresh = () => createLedger({ objective: endpoint.objective, id: "library" });
  const open = new Map<string, Ticket>();
  let ledger = fresh();
  let cursor: string | null = null;
  let lastEventMs: Ms | null = null;
  /** Slots of before a restore that no decision has seen. */
  let unseen: readonly Slot[] = [];
  let usesEvents = false;
  let restored = false;
  let started = false;
  let state: Json = null;

  return {
    endpoint,
    kind: policy.kind,
    needs: policy.needs,
    wakesOn: policy.wakesOn,
    observe(event) {
      usesEvents = true;
      lastEventMs = Math.max(lastEventMs ?? event.atMs, event.atMs);
      if (event.kind === "arrived") {
        if (open.has(event.request))
          throw new TidegateError("usage", `request ${event.request} arrived twice; name each open request differently`);
        open.set(event.request, ledger.arrive(event.atMs, event));
        return undefined;
      }
      const ticket = open.get(event.request);
      if (ticket === undefined) {
        if (restored) return undefined;
        throw new TidegateError(
          "usage",
          `${event.kind} for request ${event.request}, which is not open; report its arrival first, and its end once`,
        );
      }
      switch (event.kind) {
        case "held":
          ledger.hold(ticket, event.atMs);
          return undefined;
        case "dispatched":
          ledger.dispatch(ticket, event.atMs, event.replica);
          return undefined;
        case "firstToken":
          ledger.firstToken(ticket, event.atMs);
          return undefined;
        default:
          open.delete(event.request);
          return ledger.finish(
            ticket,
            event.atMs,
            event.kind,
            event.outputTokens === undefined ? {} : { outputTokens: event.outputTokens },
          );
      }
    },
    decide(observation) {
      const now: Observation = { ...observation, slots: observation.slots ?? fold(observation.nowMs) };
      if (!started) state = policy.start(now);
      started = true;
      const decided = policy.decide(state, now);
      state = decided.state;
      for (const { id, state } of now.replicas) if (state === "gone") ledger.forget(id);
      return decided.decision;
    },
    settle(outcome) {
      if (!started) throw new TidegateError("usage", "settle before the first decide: there is no Decision that this is the Outcome of");
      const settled = policy.settle(state, outcome);
      state = settled.state;
      return settled.conditions;
    },
    snapshot() {
      const rest = usesEvents && lastEventMs !== null ? [...unseen, ...ledger.report(lastEventMs, cursor).slots] : null;
      const taken: Snapshot = { version: 1, endpoint: endpoint.name, policy: policy.kind, started, state, unseen: rest };
      return JSON.parse(JSON.stringify(taken)) as Json;
    },
    restore(snapshot) {
      const taken = snapshot as unknown as Snapshot | null;
      if (taken?.version !== 1 || taken.endpoint !== endpoint.name || taken.policy !== policy.kind)
        throw new TidegateError(
          "usage",
          `the snapshot is of ${taken?.endpoint ?? "nothing"} with policy ${taken?.policy ?? "none"}, not of ${endpoint.name} with policy ${policy.kind}; start without it`,
        );
      ledger = fresh();
      open.clear();
      [cursor, lastEventMs, restored] = [null, null, true];
      [started, state, unseen, usesEvents] = [taken.started, taken.state, taken.unseen ?? [], taken.unseen !== null];
    },
  };

  /** Closed seconds since the last decision; null while nobody has told of any event: then they are unknown, not empty. */
  function fold(nowMs: Ms): readonly Slot[] | null {
    if (!usesEvents) return null;
    const report = ledger.report(nowMs, cursor);
    cursor = report.cursor;
    const slots = [...unseen, ...report.slots];
    unseen = [];
    return slots;
  }
}

const isDocuments = (source: Endpoint | readonly unknown[]): source is readonly unknown[] => Array.isArray(source);

function endpointOf(documents: readonly unknown[], options: AutoscalerOptions): Endpoint {
  const { endpoints } = parseConfigDocuments(documents, { env: options.env ?? {} });
  const named = options.name === undefined ? endpoints : endpoints.filter(({ name }) => name === options.name);
  const [only] = named;
  if (only !== undefined && named.length === 1) return only;
  const names = endpoints.map(({ name }) => name).join(", ");
  throw new TidegateError(
    "usage",
    only === undefined
      ? `no Endpoint named ${options.name ?? "at all"} in the documents, which hold: ${names || "none"}`
      : `the documents hold several Endpoints (${names}); name one`,
  );
}

export {
  type Cause,
  type Condition,
  type Decision,
  type Endpoint,
  type ErrorCode,
  type Json,
  type Ms,
  type Need,
  type Observation,
  type Outcome,
  type Policy,
  type PoolStatus,
  type Replica,
  type ReplicaState,
  type Sample,
  type Series,
  type Slot,
  type Step,
  type Subject,
  TidegateError,
  type Want,
} from "./model/index.ts";
