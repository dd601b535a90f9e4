import { Command, CommanderError } from "commander";
import { adviseCommand } from "./advise.ts";
import { bridgeCommand } from "./bridge.ts";
import { calibrateCommand } from "./calibrate.ts";
import { compareCommand } from "./compare.ts";
import { controlCommands } from "./control.ts";
import { controllerCommand } from "./controller.ts";
import { crdCommand } from "./crd.ts";
import { demoCommand } from "./demo.ts";
import { engineCommand } from "./engine.ts";
import { EXIT } from "./exit.ts";
import { explainCommand } from "./explain.ts";
import { exportCommand } from "./export.ts";
import { gatewayCommand } from "./gateway.ts";
import { importCommand } from "./import.ts";
import { loadCommand } from "./load.ts";
import { replayCommand } from "./replay.ts";
import { shadowCommand } from "./shadow.ts";
import { simulateCommand } from "./simulate.ts";
import { topCommand } from "./top.ts";
import { traceCommand } from "./trace.ts";
import { tuneCommand } from "./tune.ts";
import { upCommand } from "./up.ts";
import { validateCommand } from "./validate.ts";
import { version } from "./version.ts";

const nodeMajor = Number(process.versions.node.split(".")[0]);
if (nodeMajor < 24) {
  process.stderr.write(`tidegate needs Node 24 or newer; this is ${process.version}. In a checkout, bin/tidegate fetches one by itself.\n`);
  process.exit(EXIT.usage);
}

// Whoever reads us, such as `head`, has enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(EXIT.ok);
});

const program = new Command("tidegate")
  .description("Keeps an LLM inference endpoint inside its latency objective with the fewest GPUs.")
  .version(version, "-V, --version", "print the version")
  .showSuggestionAfterError()
  .exitOverride()
  .addHelpText(
    "after",
    `
Start here:
  tidegate demo                          a fleet that scales itself, in three minutes, nothing else needed
  tidegate up tidegate.yaml              gateway, controller and console for your endpoints
  tidegate validate tidegate.yaml        check a config without starting anything
  tidegate explain ENDPOINT              why this many replicas

Exit codes: 0 ok, 1 failure, 2 usage or invalid config, 3 differences found, 99 an objective was missed, 130/143 on a signal.`,
  );

for (const command of [
  demoCommand(),
  upCommand(),
  gatewayCommand(),
  controllerCommand(),
  bridgeCommand(),
  crdCommand(),
  shadowCommand(),
  engineCommand(),
  loadCommand(),
  traceCommand(),
  simulateCommand(),
  compareCommand(),
  tuneCommand(),
  calibrateCommand(),
  adviseCommand(),
  validateCommand(),
  importCommand(),
  exportCommand(),
  topCommand(),
  explainCommand(),
  replayCommand(),
  ...controlCommands(),
]) {
  program.addCommand(command.exitOverride());
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  } else {
    const { messageOf, TidegateError } = await import("../model/index.ts");
    if (error instanceof TidegateError) {
      process.stderr.write(`tidegate: ${error.message}\n`);
      process.exit(error.retryable && !["gateway/port", "history/unwritable"].includes(error.code) ? EXIT.failure : EXIT.usage);
    }
    process.stderr.write(`tidegate: ${messageOf(error)}\n${error instanceof Error ? `${error.stack}\n` : ""}`);
    process.exit(EXIT.failure);
  }
}
