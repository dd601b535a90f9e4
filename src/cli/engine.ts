import { Command } from "commander";

interface Flags {
  readonly port: string;
  readonly host: string;
  readonly model: string;
  readonly profile: string;
  readonly gpu?: string;
  readonly maxNumSeqs?: string;
  readonly maxNumBatchedTokens?: string;
  readonly kvTokens?: string;
  readonly maxModelLen: string;
  readonly enablePrefixCaching: boolean;
  readonly coldStart: string;
  readonly coldStartSigma: string;
  readonly speed: string;
  readonly epoch?: string;
  readonly seed: string;
  readonly fault: string;
  readonly dieWithParent?: boolean;
}

export function engineCommand(): Command {
  return new Command("engine")
    .description("an emulated vLLM replica behind HTTP: cold start by stages, continuous batching, metrics, faults")
    .option("--port <port>", "0 takes any free one", "8000")
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--model <name>", "served model name", "emulated/llama-3.1-8b")
    .option("--profile <name>", "8B, 70B, MODEL/GPU/TP such as Llama-3.1-8B/h100-80g/1, or a file of `tidegate calibrate`", "8B")
    .option("--gpu <name>", "takes the profile's model to this GPU type, such as h100-80g")
    .option("--max-num-seqs <n>", "most sequences at once; default: the profile's, else 256")
    .option("--max-num-batched-tokens <n>", "token budget of an iteration; default: the profile's, else 2048")
    .option("--kv-tokens <n>", "tokens that fit into the KV cache; default: the profile's")
    .option("--max-model-len <n>", "longest prompt and answer together", "131072")
    .option("--no-enable-prefix-caching", "prefill every prompt whole, whatever the KV cache still knows")
    .option("--cold-start <duration>", "median time until ready, over all stages", "0s")
    .option("--cold-start-sigma <sigma>", "spread of each stage (lognormal)", "0.25")
    .option("--speed <factor>", "times real time", "1")
    .option("--epoch <ms>", "where a scaled clock starts, so that processes agree")
    .option("--seed <n>", "of cold starts and natural answer lengths", "1")
    .option("--fault <kind>", "crash, hang, slow-load, refuse or none", "none")
    .option("--die-with-parent", "end when the process that started this one is gone")
    .action(async (flags: Flags) => {
      const { TidegateError } = await import("../model/index.ts");
      const { realClock } = await import("../clock/index.ts");
      const { parseDuration } = await import("../model/index.ts");
      const { findProfile, isProfileFile } = await import("../engine/index.ts");
      const { FAULTS, startEmulator } = await import("../emulator/index.ts");
      const number = (flag: string, text: string, least: number, most = Number.POSITIVE_INFINITY) => {
        const value = Number(text);
        if (text.trim() === "" || !(value >= least && value <= most))
          throw new TidegateError(
            "usage",
            `${flag} is ${JSON.stringify(text)}; give a number from ${least} ${most === Number.POSITIVE_INFINITY ? "on" : `to ${most}`}`,
          );
        return value;
      };
      const whole = (flag: string, text: string, least: number, most?: number) => {
        const value = number(flag, text, least, most);
        if (!Number.isSafeInteger(value)) throw new TidegateError("usage", `${flag} is ${JSON.stringify(text)}; give a whole number`);
        return value;
      };
      const speed = number("--speed", flags.speed, 0.001, 1000);
      const fault = FAULTS.find((kind) => kind === flags.fault);
      if (fault === undefined)
        throw new TidegateError("usage", `--fault is ${JSON.stringify(flags.fault)}; give one of ${FAULTS.join(", ")}`);
      const profile = isProfileFile(flags.profile)
        ? (await import("./profile-file.ts")).readProfile(flags.profile)
        : findProfile(flags.profile, flags.gpu);
      const { maxNumSeqs = 256, maxNumBatchedTokens = 2048 } = profile.limits ?? {};
      const coldStartMs = parseDuration(flags.coldStart);
      if (coldStartMs === undefined)
        throw new TidegateError("usage", `--cold-start is ${JSON.stringify(flags.coldStart)}; give a duration with its unit, such as 90s`);
      const say = (line: string) => process.stdout.write(`${line}\n`);
      const emulator = await startEmulator({
        port: whole("--port", flags.port, 0, 65_535),
        host: flags.host,
        model: flags.model,
        profile,
        engine: {
          maxNumSeqs: flags.maxNumSeqs === undefined ? maxNumSeqs : whole("--max-num-seqs", flags.maxNumSeqs, 1),
          maxNumBatchedTokens:
            flags.maxNumBatchedTokens === undefined ? maxNumBatchedTokens : whole("--max-num-batched-tokens", flags.maxNumBatchedTokens, 1),
          kvCapacityTokens: flags.kvTokens === undefined ? profile.kvCapacityTokens : whole("--kv-tokens", flags.kvTokens, 16),
          watermark: 0.01,
          overheadMs: profile.overheadMs ?? 1.5,
        },
        maxModelLen: whole("--max-model-len", flags.maxModelLen, 2),
        prefixCaching: flags.enablePrefixCaching,
        coldStartMs,
        startedBeforeMs: performance.now() * speed,
        coldStartSigma: number("--cold-start-sigma", flags.coldStartSigma, 0),
        seed: whole("--seed", flags.seed, 0),
        clock: realClock(speed, flags.epoch === undefined ? undefined : number("--epoch", flags.epoch, 0)),
        podName: process.env["TIDEGATE_REPLICA"]?.split(":")[0] ?? process.env["HOSTNAME"] ?? "engine",
        fault,
        onStage: (stage) => say(`tidegate-stage ${stage}`),
      });
      say(`listening on ${emulator.url}`);
      const end = () => {
        void emulator.close().then(() => process.exit(0));
      };
      for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, end);
      if (flags.dieWithParent === true) {
        const parent = process.ppid;
        setInterval(() => process.ppid !== parent && end(), 500).unref();
      }
    });
}
