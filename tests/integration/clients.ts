import { until } from "../e2e/tidegate.ts";

export interface Asked {
  readonly url: string;
  readonly model: string;
  readonly content: string;
  readonly maxTokens: number;
}

export interface Streamed {
  /** Who gave it, as the gateway says; null: not by our gateway. */
  readonly replica: string | null;
  readonly maxTokens: number;
  /** Chunks that carried a token's text, be it empty. */
  readonly pieces: number;
  readonly text: string;
}

interface Chunk {
  readonly choices: readonly { readonly delta: { readonly content?: string; readonly role?: string } }[];
  readonly usage?: { readonly completion_tokens: number } | null;
}

/** One streamed answer read to its end. @throws where it is refused, or breaks before all that was asked for has come */
export async function stream({ url, model, content, maxTokens }: Asked): Promise<Streamed> {
  const answer = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      ...{ model, messages: [{ role: "user", content }], max_tokens: maxTokens, ignore_eos: true },
      ...{ stream: true, stream_options: { include_usage: true } },
    }),
  });
  const body = await answer.text();
  if (answer.status !== 200) throw new Error(`${answer.status} ${body}`);
  const events = body.split("\n\n").filter((event) => event !== "");
  if (events.pop() !== "data: [DONE]") throw new Error(`broken stream: …${body.slice(-200)}`);
  const chunks = events.map((event) => JSON.parse(event.slice("data: ".length)) as Chunk);
  const pieces = chunks.flatMap(({ choices }) => choices.filter(({ delta }) => delta.content !== undefined && delta.role === undefined));
  const told = chunks.findLast(({ usage }) => usage !== undefined && usage !== null)?.usage?.completion_tokens;
  if (told !== maxTokens) throw new Error(`${told} tokens came, ${maxTokens} were asked for`);
  return {
    ...{ replica: answer.headers.get("x-tidegate-replica"), maxTokens, pieces: pieces.length },
    text: pieces.map(({ delta }) => delta.content).join(""),
  };
}

/** Clients of whom each asks again soon after it has its answer, so that there is always a stream under way where a count changes. */
export interface Clients {
  readonly streams: readonly Streamed[];
  readonly failures: readonly string[];
  /** Waits until, after the first `from` streams, exactly so many replicas have served at least `least` more. @returns them */
  served(from: number, replicas: number, least: number, timeoutMs?: number): Promise<ReadonlySet<string | null>>;
  /** Resolves when the last answers have come. */
  end(): Promise<void>;
}

export function startClients(
  count: number,
  asked: Omit<Asked, "maxTokens">,
  {
    pauseMs = 0,
    tokens = (client: number, turn: number) => 40 + ((client * 61 + turn * 37) % 160),
  }: { readonly pauseMs?: number; readonly tokens?: (client: number, turn: number) => number } = {},
): Clients {
  const streams: Streamed[] = [];
  const failures: string[] = [];
  let more = true;
  const clients = Array.from({ length: count }, async (_, client) => {
    for (let turn = 0; more; turn++) {
      await stream({ ...asked, maxTokens: tokens(client, turn) }).then(
        (one) => streams.push(one),
        (error: unknown) => failures.push(String(error)),
      );
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  });
  return {
    streams,
    failures,
    served: (from, replicas, least, timeoutMs = 60_000) =>
      until(
        async () => new Set(streams.slice(from).map(({ replica }) => replica)),
        (by) => by.size === replicas && streams.length >= from + least,
        timeoutMs,
      ),
    async end() {
      more = false;
      await Promise.all(clients);
    },
  };
}
