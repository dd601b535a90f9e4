import { isProfileFile } from "../engine/index.ts";
import { TidegateError } from "../model/index.ts";
import { BUILTIN_SCENARIOS, parseScenarios, type Scenario } from "../simulator/index.ts";
import { readFile, readText } from "./documents.ts";
import { readProfile } from "./profile-file.ts";

export interface ScenarioFlags {
  /** null: those of ours. */
  readonly file: string | null;
  /** undefined: all. */
  readonly only: readonly string[] | undefined;
  /** Where trace files are; undefined: beside the file of scenarios. */
  readonly traces: string | undefined;
  /** Instead of what each scenario says: a built-in profile's name, or a file that `calibrate` wrote. */
  readonly profile: string | undefined;
}

/**
 * The scenarios that flags name, and the folder of their traces. A profile of a scenario may be a file too, told by its ending and found
 * beside the scenarios. @throws TidegateError `usage`, `config/…`, `engine/profile`
 */
export async function readScenarios({ file, only, traces, profile }: ScenarioFlags): Promise<{
  readonly scenarios: readonly Scenario[];
  readonly traces: string;
}> {
  const { dirname, isAbsolute, join } = await import("node:path");
  const text = file === null ? { file: "built-in scenarios", text: BUILTIN_SCENARIOS } : readText(file, readFile);
  const all = parseScenarios(text);
  for (const name of only ?? []) {
    if (!all.some((scenario) => scenario.name === name))
      throw new TidegateError("usage", `--only ${name} is no scenario of ${text.file}; there is ${all.map((one) => one.name).join(", ")}`);
  }
  const folder = file === null || file === "-" ? "." : dirname(file);
  const withProfile = (scenario: Scenario): Scenario => {
    if (profile !== undefined) {
      const measured = isProfileFile(profile) ? readProfile(profile) : null;
      return { ...scenario, profile, measured, gpu: measured === null ? scenario.gpu : undefined };
    }
    if (!isProfileFile(scenario.profile)) return scenario;
    const path = isAbsolute(scenario.profile) ? scenario.profile : join(folder, scenario.profile);
    return { ...scenario, measured: readProfile(path) };
  };
  const wanted = only === undefined ? all : all.filter(({ name }) => only.includes(name));
  return { scenarios: wanted.map(withProfile), traces: traces ?? folder };
}
