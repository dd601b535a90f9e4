import type { Pool } from "../../../model/index.ts";
import type { Profile } from "./optimizer.ts";

/** A JSON list of GPU profiles as AIBrix's profiler writes them; AIBrix itself keeps them in Redis. */
export const PROFILES_ANNOTATION = "tidegate.dev/aibrix-profiles";

/** @returns the profiles, or what is wrong with the text */
export function parseProfiles(text: string): { readonly profiles: readonly Profile[] } | { readonly issue: string } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { issue: "is not JSON; give a list of profiles as aibrix_gen_profile writes them" };
  }
  if (!Array.isArray(value) || value.length === 0) return { issue: "is no list of profiles; give one for each GPU type" };
  const profiles: Profile[] = [];
  for (const [at, entry] of value.entries()) {
    if (!isProfile(entry))
      return { issue: `[${at}] is no profile: it needs gpu, cost, tputs and indexes (marks of output and of input tokens)` };
    const [outputs, inputs] = entry.indexes;
    if (entry.tputs.length !== outputs.length || entry.tputs.some((row) => row.length !== inputs.length)) {
      return { issue: `[${at}] (${entry.gpu}) has tputs of another shape than its indexes (${outputs.length} × ${inputs.length})` };
    }
    if (JSON.stringify(entry.indexes) !== JSON.stringify((profiles[0] ?? entry).indexes)) {
      return { issue: `[${at}] (${entry.gpu}) has other indexes than the first; all profiles need the same` };
    }
    if (profiles.some(({ gpu }) => gpu === entry.gpu)) return { issue: `[${at}] (${entry.gpu}) is there twice` };
    profiles.push({ gpu: entry.gpu, cost: entry.cost, tputs: entry.tputs, indexes: entry.indexes });
  }
  return { profiles };
}

const isNumbers = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length > 0 && value.every((one) => typeof one === "number" && Number.isFinite(one) && one >= 0);

function isProfile(value: unknown): value is Profile {
  if (typeof value !== "object" || value === null) return false;
  const { gpu, cost, tputs, indexes } = value as Readonly<Record<string, unknown>>;
  if (typeof gpu !== "string" || gpu === "" || typeof cost !== "number" || !(cost > 0)) return false;
  return Array.isArray(tputs) && tputs.every(isNumbers) && Array.isArray(indexes) && indexes.length === 2 && indexes.every(isNumbers);
}

/** The profile of a pool: by its name, else by its GPU type. */
export const profileOf = (profiles: readonly Profile[], { name, gpu }: Pick<Pool, "name" | "gpu">): Profile | undefined =>
  profiles.find((profile) => profile.gpu === name) ?? profiles.find((profile) => profile.gpu === gpu && gpu !== "");
