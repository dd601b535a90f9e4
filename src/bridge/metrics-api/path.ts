/** What a path asks for, in the words of an authorizer. Source: apiserver `pkg/endpoints/request/requestinfo.go`. */
export type ApiRequest =
  | { readonly kind: "other"; readonly path: string }
  | {
      readonly kind: "resource";
      readonly group: string;
      readonly version: string;
      /** "" outside of namespaces. */
      readonly namespace: string;
      readonly resource: string;
      /** "" where the path names none. */
      readonly name: string;
      readonly subresource: string;
      /** What comes behind the subresource. */
      readonly more: readonly string[];
      readonly verb: "get" | "list";
    };

/** @throws URIError for escapes that are none */
export function parsePath(path: string): ApiRequest {
  const [root, group, version, ...rest] = path.split("/").filter((part) => part !== "");
  if (root !== "apis" || group === undefined || version === undefined || rest.length === 0) return { kind: "other", path };
  const parts = rest.map(decodeURIComponent);
  let namespace = "";
  // A namespace is itself a resource unless something else than its own subresources comes behind its name.
  if (parts[0] === "namespaces" && parts.length > 2) {
    namespace = parts[1] as string;
    parts.splice(0, 2);
  }
  const [resource = "", name = "", subresource = "", ...more] = parts;
  return { kind: "resource", group, version, namespace, resource, name, subresource, more, verb: name === "" ? "list" : "get" };
}
