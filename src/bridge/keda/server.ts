import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Server,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { type Clock, type Log, type Ms, messageOf, TidegateError } from "../../model/index.ts";
import type { CertificateFiles } from "../certificate-files.ts";
import type { Source } from "../source.ts";
import { watchedCredentials } from "./credentials.ts";
import { externalScaler, health, type MetricSpec, type MetricValue, type ScaledObjectRef } from "./proto.ts";
import { createScaler, ScalerError } from "./scaler.ts";

export interface KedaScalerOptions {
  readonly source: Source;
  readonly host: string;
  readonly port: number;
  /** null: in the clear. */
  readonly tls: CertificateFiles | null;
  readonly clock: Clock;
  readonly log: Log;
}

export interface KedaScaler {
  /** The bound port. */
  readonly port: number;
  close(): Promise<void>;
}

/** KEDA drops an "active" that comes before it knows the ScaledObject's metrics, so it is said again this often while it is so. */
const repeatActiveMs: Ms = 5000;
const SERVICE = "externalscaler.ExternalScaler";

/**
 * KEDA's external scaler over gRPC, with gRPC's health service beside it.
 * @throws TidegateError `gateway/port` where the port is taken, `config/unreadable` for the certificates
 */
export async function startKedaScaler({ source, host, port, tls, clock, log }: KedaScalerOptions): Promise<KedaScaler> {
  const scaler = createScaler(source);
  const ends = new Set<() => void>();
  const { credentials, close: unwatch } = watchedCredentials(tls, { clock, log });
  const server = new Server({ "grpc.keepalive_time_ms": 30_000, "grpc.keepalive_timeout_ms": 10_000 });

  const unary =
    <Request, Response>(answer: (request: Request) => Response | Promise<Response>): handleUnaryCall<Request, Response> =>
    ({ request }: ServerUnaryCall<Request, Response>, reply) => {
      void (async () => answer(request))().then(
        (response) => reply(null, response),
        (error) => reply(statusOf(error)),
      );
    };

  /** Keeps a stream until either side ends it. */
  const stream =
    <Request, Response>(
      open: (request: Request, write: (response: Response) => void, fail: (error: unknown) => void) => () => void,
    ): handleServerStreamingCall<Request, Response> =>
    (call: ServerWritableStream<Request, Response>) => {
      let done = false;
      const finish = (last: () => void) => {
        if (done) return;
        done = true;
        ends.delete(end);
        stop();
        last();
      };
      const end = () => finish(() => call.end());
      const fail = (error: unknown) => finish(() => call.emit("error", statusOf(error)));
      let stop = () => {};
      ends.add(end);
      for (const over of ["cancelled", "close", "error"]) call.on(over, () => finish(() => {}));
      try {
        stop = open(call.request, (response) => void (done || call.write(response)), fail);
        if (done) stop();
      } catch (error) {
        fail(error);
      }
    };

  server.addService(externalScaler().service, {
    IsActive: unary(async (ref: ScaledObjectRef) => ({ result: await scaler.isActive(ref) })),
    GetMetricSpec: unary((ref: ScaledObjectRef) => ({ metricSpecs: scaler.metricSpecs(ref) })),
    GetMetrics: unary(
      async ({ scaledObjectRef: ref, metricName }: { readonly scaledObjectRef: ScaledObjectRef | null; readonly metricName: string }) => {
        if (ref === null) throw new ScalerError("invalid", "the request names no ScaledObject");
        return { metricValues: await scaler.metrics(ref, metricName) } satisfies { metricValues: readonly MetricValue[] };
      },
    ),
    StreamIsActive: stream((ref: ScaledObjectRef, write: (response: { readonly result: boolean }) => void) => {
      const name = scaler.endpointOf(ref);
      let said: boolean | null = null;
      let cancel = () => {};
      let asking = false;
      let again = false;
      const tell = (repeats: boolean) => {
        again ||= asking;
        if (asking) return;
        asking = true;
        scaler
          .isActive(ref)
          .then(
            (active) => {
              if (active === said && !(repeats && active)) return;
              said = active;
              write({ result: active });
              cancel();
              cancel = active ? clock.after(repeatActiveMs, () => tell(true)) : () => {};
            },
            // Nothing is said while nobody knows: KEDA's polling hears why.
            (error) => log("debug", `StreamIsActive of ${ref.namespace}/${ref.name}: ${messageOf(error)}`),
          )
          .finally(() => {
            asking = false;
            if (!again) return;
            again = false;
            tell(false);
          });
      };
      const unsubscribe = source.onChange((endpoint) => endpoint === name && tell(false));
      tell(false);
      return () => {
        unsubscribe();
        cancel();
      };
    }),
    StreamMetricSpec: stream((ref: ScaledObjectRef, write: (response: { readonly metricSpecs: readonly MetricSpec[] }) => void) => {
      write({ metricSpecs: scaler.metricSpecs(ref) });
      return () => {};
    }),
  });

  const serving = () => (source.connected() ? "SERVING" : "NOT_SERVING");
  const knows = (service: string) => service === "" || service === SERVICE;
  server.addService(health().service, {
    Check: unary(({ service }: { readonly service: string }) => {
      if (knows(service)) return { status: serving() };
      throw new ScalerError("not-found", `no service ${service} here; there is ${SERVICE}`);
    }),
    Watch: stream(({ service }: { readonly service: string }, write: (response: { readonly status: string }) => void) => {
      let said = knows(service) ? serving() : "SERVICE_UNKNOWN";
      write({ status: said });
      if (said === "SERVICE_UNKNOWN") return () => {};
      let cancel = () => {};
      const look = () => {
        if (serving() !== said) {
          said = serving();
          write({ status: said });
        }
        cancel = clock.after(1000, look);
      };
      look();
      return () => cancel();
    }),
  });

  const bound = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`${host.includes(":") ? `[${host}]` : host}:${port}`, credentials, (error, at) =>
      error === null
        ? resolve(at)
        : reject(
            new TidegateError("gateway/port", `the external scaler cannot listen on ${host}:${port} (${error.message}); see --keda-port`, {
              cause: error,
            }),
          ),
    );
  });
  return {
    port: bound,
    close: () =>
      new Promise((resolve) => {
        unwatch();
        for (const end of [...ends]) end();
        const force = setTimeout(() => server.forceShutdown(), 2000);
        server.tryShutdown(() => {
          clearTimeout(force);
          resolve();
        });
      }),
  };
}

const CODES = { "not-found": status.NOT_FOUND, invalid: status.INVALID_ARGUMENT, unavailable: status.UNAVAILABLE } as const;

function statusOf(error: unknown): Partial<ServiceError> {
  const code = error instanceof ScalerError ? CODES[error.reason] : error instanceof TidegateError ? status.UNAVAILABLE : status.INTERNAL;
  return { code, details: messageOf(error), message: messageOf(error) };
}
