import { z } from "zod";
import { parseQuantity } from "../policy/dialects/hpa/index.ts";
import { FALLBACK_BEHAVIORS } from "../policy/dialects/keda/index.ts";

const text = z.string();
const int32 = z.int32();
const count = int32.min(0);
const texts = z.record(z.string(), z.string({ error: "must be text: put it in quotes" }));

/** ObjectMeta as a cluster prints it; only name, namespace and annotations mean something here. */
const metadata = z
  .strictObject({
    ...{ name: text, generateName: text, namespace: text, uid: text, resourceVersion: text, selfLink: text },
    ...{ labels: texts, annotations: texts, generation: z.number(), deletionGracePeriodSeconds: z.number() },
    ...{ creationTimestamp: z.unknown(), deletionTimestamp: z.unknown(), finalizers: z.array(text) },
    ...{ ownerReferences: z.array(z.unknown()), managedFields: z.array(z.unknown()) },
  })
  .partial();

const envelope = <S extends z.ZodType>(apiVersion: string, kind: string, spec: S) =>
  z.strictObject({
    apiVersion: z.literal(apiVersion, { error: `must be ${apiVersion}` }),
    kind: z.literal(kind),
    metadata,
    spec,
    status: z.unknown().optional(),
  });

const trigger = z.strictObject({
  type: text.min(1),
  name: text.optional(),
  useCachedMetrics: z.boolean().optional(),
  metadata: texts,
  authenticationRef: z
    .strictObject({ name: text.min(1), kind: z.enum(["TriggerAuthentication", "ClusterTriggerAuthentication"]).optional() })
    .optional(),
  metricType: z.enum(["AverageValue", "Value", "Utilization"]).optional(),
});

const isQuantity = (value: string): boolean => {
  try {
    return parseQuantity(value) !== null;
  } catch {
    return false;
  }
};
const rules = z
  .strictObject({
    stabilizationWindowSeconds: int32,
    selectPolicy: text,
    policies: z.array(z.strictObject({ type: text, value: int32, periodSeconds: int32 })),
    tolerance: z.union([text, z.number()]).transform(String).refine(isQuantity, "must be a quantity, such as 0.1 or 100m"),
  })
  .partial();

const scaledObjectSpec = z.strictObject({
  scaleTargetRef: z.strictObject({
    name: text.min(1),
    apiVersion: text.optional(),
    kind: text.optional(),
    envSourceContainerName: text.optional(),
  }),
  pollingInterval: int32.min(1).optional(),
  cooldownPeriod: count.optional(),
  initialCooldownPeriod: count.optional(),
  idleReplicaCount: count.optional(),
  minReplicaCount: count.optional(),
  maxReplicaCount: int32.min(1).optional(),
  fallback: z.strictObject({ failureThreshold: count, replicas: count, behavior: z.enum(FALLBACK_BEHAVIORS).default("static") }).optional(),
  advanced: z
    .strictObject({
      restoreToOriginalReplicaCount: z.boolean(),
      horizontalPodAutoscalerConfig: z
        .strictObject({ name: text, behavior: z.strictObject({ scaleUp: rules, scaleDown: rules }).partial() })
        .partial(),
      scalingModifiers: z.strictObject({ formula: text, target: text, activationTarget: text, metricType: text }).partial(),
    })
    .partial()
    .optional(),
  triggers: z.array(trigger),
});

const scaledJobSpec = z.strictObject({
  /** A batch/v1 JobSpec, which the API server checks; nothing of it decides anything here. */
  jobTargetRef: z.looseObject({ template: z.looseObject({}) }),
  pollingInterval: int32.min(1).optional(),
  successfulJobsHistoryLimit: count.optional(),
  failedJobsHistoryLimit: count.optional(),
  envSourceContainerName: text.optional(),
  minReplicaCount: count.optional(),
  maxReplicaCount: count.optional(),
  rolloutStrategy: text.optional(),
  rollout: z
    .strictObject({ strategy: text, propagationPolicy: z.enum(["background", "foreground"]) })
    .partial()
    .optional(),
  scalingStrategy: z
    .strictObject({
      strategy: z.enum(["default", "custom", "accurate", "eager"]),
      customScalingQueueLengthDeduction: int32,
      customScalingRunningJobPercentage: text,
      pendingPodConditions: z.array(text),
      multipleScalersCalculation: z.enum(["max", "min", "avg", "sum"]),
    })
    .partial()
    .optional(),
  triggers: z.array(trigger).min(1, "is empty; give at least one trigger"),
});

const service = { service: text.min(1), port: int32.min(1).optional(), portName: text.optional() };
const target = int32.min(1);

const httpScaledObjectSpec = z.strictObject({
  hosts: z.array(text).optional(),
  pathPrefixes: z.array(text).optional(),
  headers: z.array(z.strictObject({ name: text.min(1), value: text.optional() })).optional(),
  scaleTargetRef: z.strictObject({ name: text.optional(), apiVersion: text.optional(), kind: text.optional(), ...service }),
  coldStartTimeoutFailoverRef: z.strictObject({ ...service, timeoutSeconds: int32.optional() }).optional(),
  replicas: z.strictObject({ min: count, max: int32 }).partial().optional(),
  scaledownPeriod: count.optional(),
  initialCooldownPeriod: count.optional(),
  scalingMetric: z
    .strictObject({
      concurrency: z.strictObject({ targetValue: target }).partial(),
      requestRate: z.strictObject({ targetValue: target, window: text, granularity: text }).partial(),
    })
    .partial()
    .optional(),
  timeouts: z.strictObject({ conditionWait: text, responseHeader: text }).partial().optional(),
  targetPendingRequests: int32.optional(),
});

export const scaledObjectSchema = envelope("keda.sh/v1alpha1", "ScaledObject", scaledObjectSpec);
export const scaledJobSchema = envelope("keda.sh/v1alpha1", "ScaledJob", scaledJobSpec);
export const httpScaledObjectSchema = envelope("http.keda.sh/v1alpha1", "HTTPScaledObject", httpScaledObjectSpec);

const keyRef = z.strictObject({ parameter: text.min(1), name: text.min(1), key: text.min(1) });
const podIdentity = z
  .strictObject({
    provider: z.enum(["none", "azure-workload", "gcp", "aws", "aws-eks"]),
    ...{ identityId: text.optional(), identityTenantId: text.optional(), identityAuthorityHost: text.optional() },
    ...{ roleArn: text.optional(), externalID: text.optional(), identityOwner: z.enum(["keda", "workload"]).optional() },
  })
  .superRefine(({ roleArn, identityOwner }, issues) => {
    if (roleArn !== undefined && identityOwner !== undefined)
      issues.addIssue("has roleArn and identityOwner, which exclude each other; keep one");
  });
const secretKeyRef = z.strictObject({ valueFrom: z.strictObject({ secretKeyRef: z.strictObject({ name: text, key: text }) }) });

const authenticationSpec = z
  .strictObject({
    podIdentity,
    secretTargetRef: z.array(keyRef),
    configMapTargetRef: z.array(keyRef),
    env: z.array(z.strictObject({ parameter: text.min(1), name: text.min(1), containerName: text.optional() })),
    filePath: text,
    hashiCorpVault: z.strictObject({
      address: text,
      namespace: text.optional(),
      authentication: z.enum(["token", "kubernetes"]),
      role: text.optional(),
      mount: text.optional(),
      credential: z.strictObject({ token: text, serviceAccount: text, serviceAccountName: text }).partial().optional(),
      secrets: z.array(
        z.strictObject({
          ...{ parameter: text.min(1), path: text, key: text },
          type: z.enum(["", "secret", "secretV2", "pki"]).optional(),
          pkiData: z
            .strictObject({ commonName: text, altNames: text, ipSans: text, uriSans: text, otherSans: text, ttl: text, format: text })
            .partial()
            .optional(),
        }),
      ),
    }),
    azureKeyVault: z.strictObject({
      vaultUri: text,
      secrets: z.array(z.strictObject({ parameter: text.min(1), name: text, version: text.optional() })),
      credentials: z.strictObject({ clientId: text, tenantId: text, clientSecret: secretKeyRef }).optional(),
      podIdentity: podIdentity.optional(),
      cloud: z.strictObject({ type: text, keyVaultResourceURL: text.optional(), activeDirectoryEndpoint: text.optional() }).optional(),
    }),
    gcpSecretManager: z.strictObject({
      secrets: z.array(z.strictObject({ parameter: text.min(1), id: text, version: text.optional() })),
      credentials: z.strictObject({ clientSecret: secretKeyRef }).optional(),
      podIdentity: podIdentity.optional(),
    }),
    awsSecretManager: z.strictObject({
      secrets: z.array(
        z.strictObject({
          parameter: text.min(1),
          name: text,
          versionId: text.optional(),
          versionStage: text.optional(),
          secretKey: text.optional(),
        }),
      ),
      credentials: z
        .strictObject({ accessKey: secretKeyRef, accessSecretKey: secretKeyRef, accessToken: secretKeyRef.optional() })
        .optional(),
      podIdentity: podIdentity.optional(),
      region: text.optional(),
    }),
    boundServiceAccountToken: z.array(z.strictObject({ parameter: text.min(1), serviceAccountName: text.min(1) })),
    oauth2: z.strictObject({
      type: z.literal("clientCredentials").optional(),
      clientId: text,
      clientSecret: secretKeyRef,
      tokenUrl: text,
      scopes: z.array(text).optional(),
      tokenUrlParams: texts.optional(),
    }),
  })
  .partial();

export const triggerAuthenticationSchema = envelope("keda.sh/v1alpha1", "TriggerAuthentication", authenticationSpec);
export const clusterTriggerAuthenticationSchema = envelope("keda.sh/v1alpha1", "ClusterTriggerAuthentication", authenticationSpec);
export type AuthenticationSpec = z.infer<typeof authenticationSpec>;
