import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Provision } from "../../../scripts/integration.ts";

const module = "github.com/llm-d/llm-d-inference-sim";
/** Of before this release it needs libzmq and a tokenizer in C; since then it builds as Go alone. */
const release = "v0.10.2";

/**
 * llm-d's inference simulator: TIDEGATE_LLM_D_SIM names one that is there, else `go install` builds it into the cache folder from
 * the machine's Go module proxy.
 */
export async function provision(cache: string): Promise<Provision> {
  const given = process.env["TIDEGATE_LLM_D_SIM"];
  if (given !== undefined) {
    return existsSync(given)
      ? { ok: true, env: { TIDEGATE_LLM_D_SIM: given } }
      : { ok: false, reason: `TIDEGATE_LLM_D_SIM names ${given}, which is not there` };
  }
  const folder = join(cache, release);
  const program = join(folder, "llm-d-inference-sim");
  if (!existsSync(program)) {
    mkdirSync(folder, { recursive: true });
    const { status, error, stderr } = spawnSync("go", ["install", `${module}/cmd/llm-d-inference-sim@${release}`], {
      encoding: "utf8",
      timeout: 900_000,
      env: { ...process.env, GOBIN: folder, CGO_ENABLED: "0" },
    });
    if (status !== 0) {
      const said = error?.message ?? stderr.trim().slice(-500).replaceAll("\n", " ");
      return { ok: false, reason: `go install ${module}@${release}: ${said}` };
    }
  }
  return { ok: true, env: { TIDEGATE_LLM_D_SIM: program } };
}
