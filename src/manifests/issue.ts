import type { z } from "zod";

/** `path` as in `spec.metrics[0].pods.target`; "" is the document itself. */
export interface ManifestIssue {
  readonly path: string;
  readonly message: string;
}

const join = (root: string, path: readonly PropertyKey[]): string =>
  path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    return text === "" ? String(part) : `${text}.${String(part)}`;
  }, root);

/** What a schema refused; each unknown field is an issue of its own. */
export function manifestIssues(error: z.ZodError, root = ""): ManifestIssue[] {
  return error.issues.flatMap((issue): ManifestIssue[] => {
    if (issue.code !== "unrecognized_keys") return [{ path: join(root, issue.path), message: issue.message }];
    return issue.keys.map((key) => ({ path: join(root, [...issue.path, key]), message: "is not a field of this API version; remove it" }));
  });
}
