import type { HpaManifest, Json } from "../model/index.ts";

/** Reads a HorizontalPodAutoscaler's outline and fills in its behavior's defaults. */
export function parseHpa(value: unknown): { manifest: HpaManifest } | { issues: { path: string; message: string }[] } {
  const { metadata, spec } = value as { metadata?: Record<string, unknown>; spec?: Record<string, unknown> };
  const issues: { path: string; message: string }[] = [];
  if (typeof metadata?.["name"] !== "string") issues.push({ path: "metadata.name", message: "is missing; add it" });
  if (typeof spec?.["maxReplicas"] !== "number") issues.push({ path: "spec.maxReplicas", message: "is missing; add it" });
  if (typeof spec?.["scaleTargetRef"] !== "object") issues.push({ path: "spec.scaleTargetRef", message: "is missing; add it" });
  if (issues.length > 0) return { issues };
  return {
    manifest: {
      name: String(metadata?.["name"]),
      namespace: typeof metadata?.["namespace"] === "string" ? metadata["namespace"] : "default",
      spec: spec as Record<string, Json>,
    },
  };
}
