import type { Observation, Replica } from "../model/index.ts";
import type { Reader } from "./reading.ts";

/**
 * Who goes, first first: what is broken or about to be taken, then what is not serving yet, then the least in flight, then the
 * youngest (its cache is the coldest), then by id. A replica whose load nobody knows goes after those whose load is known.
 */
export function chooseVictims(observation: Observation, reader: Reader, pool: string, count: number): readonly string[] {
  if (count <= 0) return [];
  const load = (replica: Replica) => {
    const [running, waiting] = [reader.replica("running", replica.id), reader.replica("waiting", replica.id)];
    if (typeof running === "number") return running + (typeof waiting === "number" ? waiting : 0);
    const inFlight = reader.replica("in_flight", replica.id);
    return typeof inFlight === "number" ? inFlight : Number.MAX_VALUE;
  };
  const rank = (replica: Replica) =>
    replica.state === "failed" || replica.trouble !== undefined ? 0 : replica.state === "starting" ? 1 : 2;
  const bornMs = (replica: Replica) => replica.entered.ready ?? replica.entered.starting ?? 0;
  return observation.replicas
    .filter((replica) => replica.pool === pool && (replica.state === "failed" || replica.state === "starting" || replica.state === "ready"))
    .map((replica) => ({
      id: replica.id,
      rank: rank(replica),
      load: replica.state === "ready" ? load(replica) : 0,
      bornMs: bornMs(replica),
    }))
    .sort((a, b) => a.rank - b.rank || a.load - b.load || b.bornMs - a.bornMs || (a.id < b.id ? -1 : 1))
    .slice(0, count)
    .map(({ id }) => id);
}
