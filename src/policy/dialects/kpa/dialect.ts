import type { Dialect } from "../dialect.ts";
import { annotationKey } from "./annotations.ts";
import { kpaPolicy, settingsOf } from "./policy.ts";

const MIN = annotationKey("min-scale");
const MAX = annotationKey("max-scale");
/** No limit, in our words and in Kubernetes' (an int32). */
const NO_LIMIT = Number.MAX_SAFE_INTEGER;
const MAX_INT32 = 2 ** 31 - 1;

export const kpaDialect: Dialect = {
  kind: "kpa",
  follows: "Knative Serving 1.23",
  policy: (endpoint, manifest) => kpaPolicy(endpoint, manifest),
  bounds(manifest) {
    const { minScale, maxScale } = settingsOf(manifest);
    return { min: minScale, max: maxScale === 0 ? NO_LIMIT : maxScale };
  },
  withBounds(manifest, { min, max }) {
    const { [MAX]: _max, ...others } = manifest.annotations ?? {};
    return { ...manifest, annotations: { ...others, [MIN]: String(min), ...(max > MAX_INT32 ? {} : { [MAX]: String(max) }) } };
  },
};
