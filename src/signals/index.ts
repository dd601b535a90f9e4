/** Where numbers come from: replicas' metrics pages, GPU exporters, a Prometheus server, and the gateway's ledger. */
export { type Collector, type CollectorOptions, createCollector, type ReadPage } from "./collector.ts";
export {
  createPrometheus,
  type PrometheusAnswer,
  type PrometheusClient,
  type PrometheusPoint,
  type PrometheusSeries,
} from "./prometheus.ts";
export { type RecordedQueries, recordedByPrometheus, VLLM_QUERIES } from "./recorded.ts";
