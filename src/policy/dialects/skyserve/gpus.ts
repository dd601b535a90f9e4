import type { Pool } from "../../../model/index.ts";

/**
 * The rate that a replica of the pool carries: of its GPU type with its number ("A100:2"), else of its type, else the least of all.
 * SkyPilot's names carry no memory size, ours may: `a100-80g` is an A100.
 */
export function qpsOfPool({ gpu, gpusPerReplica }: Pool, byGpu: Readonly<Record<string, number>>): number {
  const is = (type: string) => {
    const [ours, theirs] = [gpu.toLowerCase(), type.toLowerCase()];
    return ours === theirs || ours.startsWith(`${theirs}-`);
  };
  const entries = Object.entries(byGpu).map(([key, qps]) => {
    const [type = "", count] = key.split(":");
    return { qps, type, count: count === undefined ? null : Number(count) };
  });
  const ofType = entries.filter(({ type }) => is(type));
  const exact = ofType.find(({ count }) => count === gpusPerReplica) ?? ofType.find(({ count }) => count === null) ?? ofType[0];
  return exact?.qps ?? Math.min(...entries.map(({ qps }) => qps));
}
