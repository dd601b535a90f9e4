import type { Ms } from "../../model/index.ts";
import { isStatus, type KubernetesApi } from "./api.ts";

const keptMs: Ms = 5_000;
const answers = new WeakMap<KubernetesApi, Map<string, Promise<unknown>>>();

/**
 * GETs what many pools that open together need all alike: an answer of the last five seconds will do, also that there is no such thing.
 * @throws KubernetesError
 */
export function askLately<Answer>(api: KubernetesApi, path: string): Promise<Answer> {
  const known = answers.get(api) ?? new Map<string, Promise<unknown>>();
  answers.set(api, known);
  const before = known.get(path);
  if (before !== undefined) return before as Promise<Answer>;
  const answer = api.ask<Answer>({ path });
  const forget = () => void (known.get(path) === answer && known.delete(path));
  known.set(path, answer);
  answer.catch((error: unknown) => isStatus(error, 404) || forget());
  setTimeout(forget, keptMs).unref();
  return answer;
}
