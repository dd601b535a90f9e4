#!/usr/bin/env node
// Runs a script of this repository under a Node that is new enough (>= 24): the running one, or one that is fetched once from
// the package registry into `.node/`. Plain syntax on purpose: this file itself must run under Node 18 and newer.
//   node scripts/launch.mjs FILE [ARG…]      runs FILE
//   node scripts/launch.mjs --print          prints the path of the Node that would be used
// TIDEGATE_NODE=26.10.0 asks for that very version instead, to test on another one.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const wantedMajor = 24;
const asked = process.env.TIDEGATE_NODE;
const fetchedVersion = asked ?? "24.21.0";

/** @returns the path of a Node >= 24; fetches one where the running one is older. */
export function findNode() {
  const { node: running } = process.versions;
  if (asked === undefined ? Number(running.split(".")[0]) >= wantedMajor : running === asked) return process.execPath;
  const system = process.platform === "win32" ? "win" : process.platform;
  const name = `node-${system}-${process.arch}`;
  const home = join(root, ".node", fetchedVersion);
  const binary = join(home, "node_modules", name, "bin", process.platform === "win32" ? "node.exe" : "node");
  if (existsSync(binary)) return binary;
  process.stderr.write(`tidegate: node ${running} is not ${asked ?? "new enough"}; fetching ${name}@${fetchedVersion} once into .node/\n`);
  // Installed beside its place and moved there in one step, so that an interrupted or parallel fetch leaves nothing half done.
  const partial = `${home}.${process.pid}`;
  mkdirSync(partial, { recursive: true });
  try {
    const npm = process.platform === "win32" ? "npm.cmd" : "npm";
    execFileSync(npm, ["install", "--prefix", partial, "--no-save", "--no-package-lock", "--ignore-scripts", `${name}@${fetchedVersion}`], {
      stdio: ["ignore", "ignore", "inherit"],
      cwd: partial,
      shell: process.platform === "win32",
    });
    if (!existsSync(home)) renameSync(partial, home);
  } catch (error) {
    if (!existsSync(binary)) {
      const why = error instanceof Error ? error.message : String(error);
      process.stderr.write(`tidegate: could not fetch ${name}@${fetchedVersion} (${why}); install Node >= ${wantedMajor} and try again\n`);
      process.exit(1);
    }
  } finally {
    rmSync(partial, { recursive: true, force: true });
  }
  return binary;
}

/** Runs Node with `args`, passes signals on, and ends as the child ends. */
export function run(args) {
  const node = findNode();
  const env = { ...process.env, PATH: `${dirname(node)}${process.platform === "win32" ? ";" : ":"}${process.env.PATH ?? ""}` };
  const child = spawn(node, args, { stdio: "inherit", env });
  // A terminal sends Ctrl-C to the whole group: the child has its own, and sending it again would make it a second Ctrl-C.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal);
    });
  }
  child.on("error", (error) => {
    process.stderr.write(`tidegate: could not run ${node}: ${error.message}\n`);
    process.exit(1);
  });
  child.on("exit", (code, signal) => process.exit(signal ? 128 + constants.signals[signal] : code));
}

if (process.argv[1] && fileURLToPath(import.meta.url) === process.argv[1]) {
  const args = process.argv.slice(2);
  if (args[0] === "--print") process.stdout.write(`${findNode()}\n`);
  else run(args);
}
