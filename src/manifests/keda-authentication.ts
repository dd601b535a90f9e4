import type { ManifestIssue } from "./issue.ts";
import { manifestIssues } from "./issue.ts";
import { withoutNulls } from "./json.ts";
import { type AuthenticationSpec, clusterTriggerAuthenticationSchema, triggerAuthenticationSchema } from "./keda-schema.ts";

/** Where one parameter of a trigger comes from; its value is never in the file. */
interface AuthenticationReference {
  readonly parameter: string;
  readonly source:
    | "secret"
    | "configMap"
    | "env"
    | "hashiCorpVault"
    | "azureKeyVault"
    | "gcpSecretManager"
    | "awsSecretManager"
    | "boundServiceAccountToken"
    | "oauth2";
  /** Within the source, as NAME/KEY, PATH/KEY or a name alone. */
  readonly reference: string;
}

interface TriggerAuthentication {
  readonly name: string;
  /** `null`: a ClusterTriggerAuthentication, for every namespace. */
  readonly namespace: string | null;
  readonly references: readonly AuthenticationReference[];
  /** "" and "none": none. */
  readonly podIdentity: string;
  /** A file on the operator that holds more parameters; `null`: none. */
  readonly filePath: string | null;
}

/** A TriggerAuthentication or ClusterTriggerAuthentication: what it binds, and where that is kept. */
export function parseTriggerAuthentication(
  document: unknown,
): { readonly authentication: TriggerAuthentication } | { readonly issues: readonly ManifestIssue[] } {
  const clean = withoutNulls(document);
  const kind = typeof clean === "object" && clean !== null && "kind" in clean ? clean.kind : undefined;
  const isCluster = kind === "ClusterTriggerAuthentication";
  const parsed = (isCluster ? clusterTriggerAuthenticationSchema : triggerAuthenticationSchema).safeParse(clean);
  if (!parsed.success) return { issues: manifestIssues(parsed.error) };
  const { metadata, spec } = parsed.data;
  return {
    authentication: {
      name: metadata.name ?? "",
      namespace: isCluster ? null : (metadata.namespace ?? "default"),
      references: referencesOf(spec),
      podIdentity: spec.podIdentity?.provider ?? "",
      filePath: spec.filePath ?? null,
    },
  };
}

function referencesOf(spec: AuthenticationSpec): readonly AuthenticationReference[] {
  const keyed = (source: "secret" | "configMap", refs: AuthenticationSpec["secretTargetRef"] = []) =>
    refs.map(({ parameter, name, key }): AuthenticationReference => ({ parameter, source, reference: `${name}/${key}` }));
  const listed = <T extends { readonly parameter: string }>(
    source: AuthenticationReference["source"],
    entries: readonly T[] | undefined,
    reference: (entry: T) => string,
  ) => (entries ?? []).map((entry): AuthenticationReference => ({ parameter: entry.parameter, source, reference: reference(entry) }));
  const { oauth2 } = spec;
  return [
    ...keyed("secret", spec.secretTargetRef),
    ...keyed("configMap", spec.configMapTargetRef),
    ...listed("env", spec.env, ({ name }) => name),
    ...listed("hashiCorpVault", spec.hashiCorpVault?.secrets, ({ path, key }) => `${path}/${key}`),
    ...listed("azureKeyVault", spec.azureKeyVault?.secrets, ({ name }) => name),
    ...listed("gcpSecretManager", spec.gcpSecretManager?.secrets, ({ id }) => id),
    ...listed("awsSecretManager", spec.awsSecretManager?.secrets, ({ name }) => name),
    ...listed("boundServiceAccountToken", spec.boundServiceAccountToken, ({ serviceAccountName }) => serviceAccountName),
    ...(oauth2 === undefined ? [] : oauthReferences(oauth2)),
  ];
}

/** The secret of a client, which the trigger gets together with what is plain in the file. */
function oauthReferences({ clientSecret }: NonNullable<AuthenticationSpec["oauth2"]>): readonly AuthenticationReference[] {
  const { name, key } = clientSecret.valueFrom.secretKeyRef;
  return [{ parameter: "clientSecret", source: "oauth2", reference: `${name}/${key}` }];
}
