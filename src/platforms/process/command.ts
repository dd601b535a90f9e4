import { accessSync, constants, existsSync, statSync } from "node:fs";
import { delimiter, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type ProcessPlatformSpec, TidegateError } from "../../model/index.ts";

/** What the placeholders of a command stand for, `{tidegate}` apart. Braces around anything else (JSON, say) are left alone. */
export type Placeholders = Readonly<Record<"port" | "host" | "id" | "index" | "model" | "speed" | "epoch" | "pool", string | number>>;

/** An item that is just `{tidegate}` becomes the items of `tidegate`; within a longer text they are joined by spaces. */
export function fillCommand(command: readonly string[], values: Placeholders, tidegate: readonly string[]): readonly string[] {
  return command.flatMap((item) => (item === "{tidegate}" ? tidegate : [fillText(item, values, tidegate)]));
}

export function fillText(text: string, values: Placeholders, tidegate: readonly string[]): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) =>
    name === "tidegate" ? tidegate.join(" ") : Object.hasOwn(values, name) ? String(values[name as keyof Placeholders]) : whole,
  );
}

/** The running program itself: sources in a checkout, the bundle's `cli/main.js` in an installed package. */
export function tidegateCommand(): readonly string[] {
  const here = import.meta.url;
  const places = here.endsWith(".ts") ? ["../../cli/main.ts"] : ["./main.js", "./cli/main.js", "../cli/main.js", "../../cli/main.js"];
  const paths = places.map((place) => fileURLToPath(new URL(place, here)));
  return [process.execPath, paths.find((path) => existsSync(path)) ?? paths[0]!];
}

/** @throws TidegateError `platform/refused` naming the command or the folder that cannot be used */
export function checkCommand(spec: ProcessPlatformSpec, tidegate: readonly string[]): void {
  const program = spec.command[0] === "{tidegate}" ? tidegate[0] : spec.command[0];
  if (program === undefined || program === "")
    throw refused("platform.command is empty: give the program that serves a replica, and its arguments");
  const cwd = spec.cwd ?? process.cwd();
  if (!isFolder(cwd)) throw refused(`platform.cwd ${cwd} is not a folder: make it, or correct platform.cwd`);
  if (program.includes("{")) return; // only known per replica
  const places =
    program.includes("/") || isAbsolute(program)
      ? [resolve(cwd, program)]
      : (spec.env["PATH"] ?? process.env["PATH"] ?? "").split(delimiter).map((folder) => join(resolve(cwd, folder), program));
  const found = places.filter((path) => existsSync(path) && !isFolder(path));
  if (found.some(isExecutable)) return;
  const first = found[0];
  throw refused(
    first === undefined
      ? `command ${program} was not found ${program.includes("/") ? `(${places[0]})` : "on PATH"}: install it, or correct platform.command`
      : `command ${program} (${first}) is not executable: chmod +x it, or correct platform.command`,
  );
}

const refused = (message: string) => new TidegateError("platform/refused", message);

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
