import { it } from "vitest";
import { type RealEngine, scalesUnderLoad, startRealFleet } from "../real-fleet.ts";
import { words } from "./model.ts";
import { modelName, vllmCommand, vllmEnv } from "./servers.ts";

const engine: RealEngine = { model: modelName, engine: "vllm", command: vllmCommand, env: vllmEnv, startTimeout: "5m", max: 2 };

it("scales real vLLM 1 to 2 to 1 under load, with no failed request and no broken stream", async () => {
  const fleet = await startRealFleet(engine);
  // The pause leaves the next replica time to load on the same processors.
  await scalesUnderLoad(fleet, engine, { clients: 3, content: words.join(""), pauseMs: 200, streams: 20, timeoutMs: 240_000 });
}, 600_000);
