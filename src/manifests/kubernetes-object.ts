import { z } from "zod";
import { type ManifestIssue, manifestIssues } from "./issue.ts";
import { withoutNulls } from "./json.ts";

/** ObjectMeta as a cluster prints it; only name, namespace and annotations mean something here. */
export const objectMeta = z
  .strictObject({
    name: z.string(),
    generateName: z.string(),
    namespace: z.string(),
    labels: z.record(z.string(), z.string()),
    annotations: z.record(z.string(), z.string()),
    uid: z.string(),
    resourceVersion: z.string(),
    generation: z.number(),
    selfLink: z.string(),
    creationTimestamp: z.unknown(),
    deletionTimestamp: z.unknown(),
    deletionGracePeriodSeconds: z.number(),
    finalizers: z.array(z.string()),
    ownerReferences: z.array(z.unknown()),
    managedFields: z.array(z.unknown()),
  })
  .partial();

export const objectOf = <S extends z.ZodType>(spec: S) =>
  z.strictObject({ apiVersion: z.string(), kind: z.string(), metadata: objectMeta.default({}), spec, status: z.unknown().optional() });

/** What a document says that it is; null: it is no Kubernetes object. */
export function typeOf(document: unknown): { readonly apiVersion: string; readonly kind: string } | null {
  if (typeof document !== "object" || document === null) return null;
  const { apiVersion, kind } = document as { readonly apiVersion?: unknown; readonly kind?: unknown };
  return typeof apiVersion === "string" && typeof kind === "string" ? { apiVersion, kind } : null;
}

/** The document through a schema, absent and null being the same. */
export function parseObject<S extends z.ZodType>(
  schema: S,
  document: unknown,
): { readonly value: z.infer<S> } | { readonly issues: readonly ManifestIssue[] } {
  const parsed = schema.safeParse(withoutNulls(document));
  return parsed.success ? { value: parsed.data } : { issues: manifestIssues(parsed.error) };
}

/** Without a namespace an object is in "default", as kubectl applies it. */
export const named = ({
  name = "",
  namespace = "default",
}: {
  readonly name?: string | undefined;
  readonly namespace?: string | undefined;
}) => ({
  name,
  namespace,
});

export const annotationPath = (root: string, key: string): string => `${root}["${key}"]`;

/** As the API writes them: no limit. */
export const MAX_INT32 = 2 ** 31 - 1;
