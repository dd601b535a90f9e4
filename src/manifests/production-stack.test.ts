import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parse } from "yaml";
import { kedaReader } from "./keda.ts";

const example = new URL("../../examples/manifests/production-stack-keda.yaml", import.meta.url);

it("reads production-stack's KEDA recipe as we ship it", () => {
  const result = kedaReader.read(parse(readFileSync(example, "utf8")));
  expect(result).toMatchObject({
    manifest: {
      name: "vllm-llama3",
      spec: { pollingInterval: 15, cooldownPeriod: 360, triggers: [{ metadata: { threshold: "5" } }, { metadata: { threshold: "1" } }] },
    },
    target: { kind: "Deployment", name: "vllm-llama3-deployment-vllm" },
  });
});
