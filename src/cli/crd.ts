import { Command, Option } from "commander";
import type { WriteFormat } from "./documents.ts";

/** `tidegate crd`: the definitions of the kinds Endpoint and Fleet, for `kubectl apply -f -` and for the chart. */
export function crdCommand(): Command {
  return new Command("crd")
    .description("print the CustomResourceDefinitions endpoints.tidegate.dev and fleets.tidegate.dev, made from the config's schema")
    .addOption(new Option("-o, --output <format>", "how they are printed").choices(["yaml", "json"]).default("yaml"))
    .addHelpText("after", "\nInstall them with: tidegate crd | kubectl apply --server-side -f -")
    .action(async ({ output }: { output: WriteFormat }) => {
      const { customResourceDefinitions } = await import("../config/index.ts");
      const { print, printDocuments } = await import("./documents.ts");
      print(
        await printDocuments(
          customResourceDefinitions().map((document) => ({ document, notes: [] })),
          output,
        ),
      );
    });
}
