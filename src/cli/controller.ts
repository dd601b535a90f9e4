import { Command } from "commander";
import { type LoopFlags, loopOptions, runLoop } from "./up.ts";

export function controllerCommand(): Command {
  const collect = (value: string, all: readonly string[]) => [...all, value];
  return loopOptions(new Command("controller").description("the loop alone; gateways that run apart are met over their admin API"))
    .argument("<file...>", "config files, as for `tidegate up`")
    .option("--gateway <url>", "admin address of a gateway; repeat it for several", collect, [])
    .action(async (files: readonly string[], flags: LoopFlags & { gateway: readonly string[] }) => {
      await runLoop(files, flags, { gatewayPort: null, gateways: flags.gateway });
    });
}
