import type { ClusterConfig, ConfigSource } from "../cluster/index.ts";
import type { Controller, ControllerConfig, Turn } from "../controller/index.ts";
import type { Clock, Door, Endpoint, Log } from "../model/index.ts";
import type { KubernetesApi } from "../platforms/index.ts";
import { readFile } from "./documents.ts";

export interface LoopOptions {
  /** From files: they are there in any case. */
  readonly files: ControllerConfig;
  /** Objects of a cluster; null: none are taken. `namespaces` null: all. */
  readonly objects: { readonly namespaces: readonly string[] | null; readonly identity: string } | null;
  /** The cluster that platforms are in which name none; null: each connects by itself. */
  readonly cluster: KubernetesApi | null;
  readonly dryRun: boolean;
  readonly doors: readonly Door[];
  readonly stateFolder: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
}

export interface RunningLoop {
  readonly controller: Controller;
  close(how: "leave" | "end"): Promise<void>;
}

/**
 * The controller of files and of a cluster's objects, which it follows and tells how they fare.
 * @throws TidegateError as `startController` of the files' endpoints, and where the objects cannot be listed
 */
export async function startLoop(options: LoopOptions, turn?: Turn): Promise<RunningLoop> {
  const { files, objects, cluster, dryRun, doors, stateFolder, clock, log, version } = options;
  const { startController, reportToCluster } = await import("../controller/index.ts");
  const start = (config: ControllerConfig) =>
    startController({
      ...{ doors, stateFolder, clock, log, version, ...config },
      ...(turn === undefined ? {} : { turn }),
      ...(cluster === null ? {} : { cluster }),
    });
  const dry = (endpoint: Endpoint): Endpoint => (dryRun ? { ...endpoint, dryRun: true } : endpoint);
  const own: ControllerConfig = { fleet: files.fleet, endpoints: files.endpoints.map(dry) };
  if (objects === null || cluster === null) {
    const controller = await start(own);
    return { controller, close: (how) => controller.close(how) };
  }

  const { eventRecorder, followConfig, statusWriter } = await import("../cluster/index.ts");
  const mayWrite = turn?.leads ?? (() => true);
  let changed = (_config: ClusterConfig) => {};
  const source: ConfigSource = await followConfig({
    ...{ api: cluster, namespaces: objects.namespaces, clock, log },
    secrets: { env: process.env, readSecret: (path) => readFile(path).trim() },
    onChange: (config) => changed(config),
  });
  let controller: Controller;
  try {
    controller = await start(own);
  } catch (error) {
    source.close();
    throw error;
  }
  const reports = reportToCluster({
    ...{ controller, clock },
    statuses: statusWriter({ api: cluster, clock, log, mayWrite }),
    events: eventRecorder({ api: cluster, identity: objects.identity, clock, log, mayWrite }),
  });
  const taken = new Set(own.endpoints.map(({ name }) => name));
  changed = (config) => {
    const free = withoutTaken(config, taken);
    const fromObjects = free.endpoints.flatMap(({ endpoint }) => endpoint ?? []);
    const fleet = own.fleet ?? free.fleets.find((one) => one.fleet !== null)?.fleet ?? null;
    reports.configure(free);
    void controller
      .reconfigure({ endpoints: [...own.endpoints, ...fromObjects.map(dry)], fleet })
      .then(() => reports.configure(free))
      .catch((error: unknown) => log("error", `the cluster's endpoints could not be taken over: ${String(error)}`));
  };
  changed(source.current());
  return {
    controller,
    async close(how) {
      changed = () => {};
      source.close();
      await reports.close();
      await controller.close(how);
    },
  };
}

/** An endpoint of a file keeps its name. */
function withoutTaken(config: ClusterConfig, taken: ReadonlySet<string>): ClusterConfig {
  return {
    ...config,
    endpoints: config.endpoints.map((one) => {
      const { name } = one.object.metadata;
      if (!taken.has(name)) return one;
      const message = `metadata.name: is the name of an Endpoint of a file of this controller (value ${JSON.stringify(name)}); rename one`;
      return { ...one, endpoint: null, problem: { reason: "NameTaken", message } };
    }),
  };
}
