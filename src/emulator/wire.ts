import { createHash } from "node:crypto";
import type { Kind } from "./request.ts";

/** The version of vLLM whose answers these are. */
export const vllmVersion = "0.32.0";

/** Like vLLM's: the same for processes of one configuration. */
export const fingerprintOf = (...configuration: readonly (string | number)[]): string =>
  `vllm-${vllmVersion}-${createHash("sha256").update(configuration.join("\n")).digest("hex").slice(0, 8)}`;

export type FinishReason = "stop" | "length";

export interface Usage {
  readonly promptTokens: number;
  readonly completionTokens: number;
}

const usage = ({ promptTokens, completionTokens }: Usage) => ({
  prompt_tokens: promptTokens,
  total_tokens: promptTokens + completionTokens,
  completion_tokens: completionTokens,
});

/** What one answer's events have in common. */
export interface Envelope {
  readonly kind: Kind;
  readonly id: string;
  readonly created: number;
  readonly model: string;
  readonly fingerprint: string;
}

/** The events of one stream, as text, in the order and spelling of vLLM's fields. */
export class StreamWriter {
  readonly #kind: Kind;
  readonly #head: string;
  readonly #fingerprint: string;

  constructor({ kind, id, created, model, fingerprint }: Envelope) {
    const object = kind === "chat" ? "chat.completion.chunk" : "text_completion";
    this.#kind = kind;
    this.#head = `data: {"id":${JSON.stringify(id)},"object":"${object}","created":${created},"model":${JSON.stringify(model)},"choices":[`;
    this.#fingerprint = `,"system_fingerprint":${JSON.stringify(fingerprint)}`;
  }

  /** The event before a chat answer's first text. */
  role(index: number, counts: Usage | null): string {
    const choice = `{"index":${index},"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}`;
    return `${this.#head}${choice}]${this.#continuous(counts)},"prompt_token_ids":null,"prompt_text":null}\n\n`;
  }

  /** An event with plain text (nothing in it that JSON escapes). With a reason it is the answer's last, `closing` where no usage follows. */
  text(index: number, text: string, reason: FinishReason | null, counts: Usage | null, closing: boolean): string {
    const finish = reason === null ? "null" : `"${reason}"`;
    const choice =
      this.#kind === "chat"
        ? `{"index":${index},"delta":{"content":"${text}"},"logprobs":null,"finish_reason":${finish}${reason === null ? "" : ',"stop_reason":null'},"token_ids":null}`
        : `{"index":${index},"text":"${text}","logprobs":null,"finish_reason":${finish},"stop_reason":null,"prompt_token_ids":null,"token_ids":null}`;
    return `${this.#head}${choice}]${this.#continuous(counts)}${closing ? this.#fingerprint : ""}}\n\n`;
  }

  usage(counts: Usage): string {
    return `${this.#head}],"usage":${JSON.stringify(usage(counts))}${this.#fingerprint}}\n\n`;
  }

  readonly done = "data: [DONE]\n\n";

  #continuous(counts: Usage | null): string {
    if (counts === null) return "";
    const details = this.#kind === "chat" ? { completion_tokens_details: null } : {};
    return `,"usage":${JSON.stringify({ ...usage(counts), ...details })}`;
  }
}

export interface WholeChoice {
  readonly text: string;
  readonly reason: FinishReason;
}

/** The body of an answer that is not streamed. */
export function wholeAnswer({ kind, id, created, model, fingerprint }: Envelope, choices: readonly WholeChoice[], counts: Usage): object {
  const chat = kind === "chat";
  return {
    id,
    object: chat ? "chat.completion" : "text_completion",
    created,
    model,
    choices: choices.map(({ text, reason }, index) => {
      const end = { logprobs: null, finish_reason: reason, stop_reason: null, token_ids: null };
      return chat
        ? { index, message: { ...assistant, content: text, ...absentParts }, ...end, routed_experts: null }
        : { index, text, ...end, prompt_logprobs: null, prompt_token_ids: null, routed_experts: null };
    }),
    service_tier: null,
    system_fingerprint: fingerprint,
    usage: { ...usage(counts), prompt_tokens_details: null, completion_tokens_details: null },
    ...(chat ? { prompt_logprobs: null, prompt_token_ids: null, prompt_text: null } : {}),
    kv_transfer_params: null,
    ec_transfer_params: null,
    metrics: null,
  };
}

const assistant = { role: "assistant" };
const absentParts = { refusal: null, annotations: null, audio: null, function_call: null, reasoning: null };

/** The body of `/v1/models`. */
export const modelList = (model: string, maxModelLen: number, created: number): object => ({
  object: "list",
  data: [
    {
      id: model,
      object: "model",
      created,
      owned_by: "vllm",
      root: model,
      parent: null,
      max_model_len: maxModelLen,
      permission: [
        {
          id: `modelperm-${createHash("sha256").update(`${model}\n${created}`).digest("hex").slice(0, 16)}`,
          object: "model_permission",
          created,
          allow_create_engine: false,
          allow_sampling: true,
          allow_logprobs: true,
          allow_search_indices: false,
          allow_view: true,
          allow_fine_tuning: false,
          organization: "*",
          group: null,
          is_blocking: false,
        },
      ],
    },
  ],
});
