import { Command } from "commander";
import { type ClusterFlags, clusterOptions, type LeaseFlags, leaseOptions } from "./cluster-flags.ts";
import { type LoopFlags, loopOptions, runLoop } from "./up.ts";

export function controllerCommand(): Command {
  const collect = (value: string, all: readonly string[]) => [...all, value];
  const command = new Command("controller").description("the loop alone; gateways that run apart are met over their admin API");
  return leaseOptions(clusterOptions(loopOptions(command)))
    .argument("[file...]", "config files, as for `tidegate up`; with --from-cluster beside its objects, or none")
    .option(
      "--gateway <url>",
      "admin address of a gateway; repeat it for several. dns+http://NAME:PORT is every gateway behind a name, such as a headless Service",
      collect,
      [],
    )
    .addHelpText(
      "after",
      `
TIDEGATE_ADMIN_TOKEN in the environment: the admin API asks for it as a bearer token, and gateways are sent it.
On Kubernetes (docs/kubernetes.md):
  tidegate crd | kubectl apply --server-side -f -
  tidegate controller --from-cluster --lease tidegate-controller --gateway dns+http://tidegate-gateway-admin:9090`,
    )
    .action(async (files: readonly string[], flags: LoopFlags & ClusterFlags & LeaseFlags & { gateway: readonly string[] }) => {
      await runLoop(files, flags, { gatewayPort: null, gateways: flags.gateway });
    });
}
