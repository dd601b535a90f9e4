import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Provision } from "../../../scripts/integration.ts";
import { randomModel, small } from "../llamacpp/gguf.ts";
import { provision as llamacpp } from "../llamacpp/provision.ts";

/** llama.cpp as its own suite has it, and a model large enough that its steps, and not the server around it, take the time. */
export async function provision(cache: string): Promise<Provision> {
  const got = await llamacpp(join(dirname(cache), "llamacpp"));
  if (!got.ok) return got;
  const model = join(dirname(cache), "llamacpp", "calibrate.gguf");
  writeFileSync(model, randomModel({ ...small, width: 256, layers: 4, heads: 8, feedForward: 768 }));
  return { ok: true, env: { ...got.env, TIDEGATE_LLAMACPP_MODEL: model } };
}
