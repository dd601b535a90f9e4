import type { Clock, Ms } from "../model/index.ts";

export interface EventStreamOptions {
  readonly clock: Clock;
  readonly headers: Readonly<Record<string, string>>;
  readonly fetchFn?: typeof fetch;
  /** The other side has accepted; also after each reconnection. */
  readonly onOpen?: () => void;
  /** A stream that was open has ended. */
  readonly onLost?: () => void;
}

/** Real milliseconds before a lost stream is opened again; doubles up to the second. */
const reconnectMs = [200, 10_000] as const;
/** Our admin APIs say something at least every 15 s; a stream that is silent for longer is dead. */
const silenceMs: Ms = 40_000;

/**
 * Keeps a stream of server-sent events open, and opens it again for as long as it is wanted. Only `data:` lines are handed on.
 * @returns a function that ends it
 */
export function followEvents(url: string, options: EventStreamOptions, onData: (data: string) => void): () => void {
  const { clock, headers, fetchFn = fetch, onOpen, onLost } = options;
  const stop = new AbortController();
  void (async () => {
    let waitMs: number = reconnectMs[0];
    while (!stop.signal.aborted) {
      let open = false;
      try {
        await read(stop.signal, () => {
          open = true;
          waitMs = reconnectMs[0];
          onOpen?.();
        });
      } catch {
        // Tried again below; that the other side is away is said by the calls that need it.
      }
      if (open) onLost?.();
      await clock.sleep(waitMs * clock.speed, stop.signal).catch(() => {});
      waitMs = Math.min(waitMs * 2, reconnectMs[1]);
    }
  })();
  return () => stop.abort();

  async function read(signal: AbortSignal, opened: () => void): Promise<void> {
    const silence = new AbortController();
    let cancel = () => {};
    const alive = () => {
      cancel();
      cancel = clock.after(silenceMs * clock.speed, () => silence.abort());
    };
    alive();
    try {
      const response = await fetchFn(url, {
        headers: { accept: "text/event-stream", ...headers },
        signal: AbortSignal.any([signal, silence.signal]),
      });
      if (!response.ok || response.body === null) {
        await response.body?.cancel();
        return;
      }
      opened();
      const decoder = new TextDecoder();
      let rest = "";
      for await (const chunk of response.body) {
        alive();
        const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
        rest = lines.pop() as string;
        for (const line of lines) if (line.startsWith("data:")) onData(line.slice(5));
      }
    } finally {
      cancel();
    }
  }
}
