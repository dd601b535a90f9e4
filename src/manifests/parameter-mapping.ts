import { z } from "zod";
import type { DialectKind, Manifest } from "../model/index.ts";
import { manifestIssues } from "./issue.ts";
import { withoutNulls } from "./json.ts";
import type { ReadManifest } from "./reader.ts";

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);
const metadata = z.strictObject({ name: z.string().optional(), namespace: z.string().optional() });

/**
 * Files of systems that have none of their own: the parameters under the system's name, as in `sageserve: { strategy: lt-u }`, with
 * `metadata` beside them where they have a name. The parameters alone are read too, but not recognized.
 */
export function parameterMapping(dialect: DialectKind, schema: z.ZodType) {
  const isWrapped = (document: unknown): document is Record<string, unknown> => isObject(document) && isObject(document[dialect]);
  return {
    recognizes: (document: unknown) => isWrapped(document) && document["kind"] === undefined && document["apiVersion"] === undefined,
    read(raw: unknown): ReadManifest {
      const document = withoutNulls(raw);
      if (!isObject(document)) return { issues: [{ path: "", message: `is not a mapping; write ${dialect}: and its parameters` }] };
      const outer = isWrapped(document)
        ? z.strictObject({ metadata: metadata.optional(), [dialect]: z.unknown() }).safeParse(document)
        : { success: true as const, data: { metadata: undefined } };
      if (!outer.success) return { issues: manifestIssues(outer.error) };
      const root = isWrapped(document) ? dialect : "";
      const parsed = schema.safeParse(isWrapped(document) ? document[dialect] : document);
      if (!parsed.success) return { issues: manifestIssues(parsed.error, root) };
      const own = outer.data.metadata as z.infer<typeof metadata> | undefined;
      // Only JSON comes through the schema.
      const spec = parsed.data as Manifest["spec"];
      return { manifest: { name: own?.name ?? "", namespace: own?.namespace ?? "default", spec }, target: null };
    },
    write: ({ name, namespace, spec }: Manifest): unknown => ({
      ...(name === "" ? {} : { metadata: { name, namespace } }),
      [dialect]: spec,
    }),
  };
}
