import { readFileSync } from "node:fs";

export interface Instruction {
  readonly name: string;
  /** With the build's arguments filled in. */
  readonly text: string;
}
export interface Stage {
  readonly base: string;
  readonly name: string;
  readonly instructions: readonly Instruction[];
}

/** As much of a Dockerfile as ours has: global ARGs, stages, and instructions that go over several lines. */
export function readDockerfile(file: string): readonly Stage[] {
  const lines = readFileSync(file, "utf8")
    .replaceAll(/^#.*\n/gm, "")
    .replaceAll(/\\\n/g, " ")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const args = new Map<string, string>();
  const stages: { base: string; name: string; instructions: Instruction[] }[] = [];
  for (const line of lines) {
    const [, name = "", rest = ""] = /^(\S+)\s+(.*)$/.exec(line) ?? [];
    if (name === "ARG" && stages.length === 0) {
      const [key = "", value = ""] = rest.split("=");
      args.set(key, value);
    } else if (name === "FROM") {
      const [image = "", , as = ""] = rest.split(/\s+/);
      stages.push({ base: image.replaceAll(/\$\{(\w+)\}/g, (_all, key: string) => args.get(key) ?? ""), name: as, instructions: [] });
    } else stages.at(-1)?.instructions.push({ name, text: rest });
  }
  return stages;
}

/** What the last stage says to whoever runs the image. */
export interface ImageConfig {
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly workdir: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly healthcheck: readonly string[];
}

export function configOf(stage: Stage): ImageConfig {
  const last = (name: string) => stage.instructions.filter((one) => one.name === name).at(-1)?.text ?? "";
  const list = (text: string) => JSON.parse(text.slice(text.indexOf("["))) as readonly string[];
  const env = stage.instructions
    .filter(({ name }) => name === "ENV")
    .flatMap(({ text }) => text.split(/\s+/).map((pair) => pair.split("=") as [string, string]));
  return {
    env: Object.fromEntries(env),
    user: last("USER"),
    workdir: last("WORKDIR"),
    entrypoint: list(last("ENTRYPOINT")),
    command: list(last("CMD")),
    healthcheck: list(last("HEALTHCHECK")),
  };
}
