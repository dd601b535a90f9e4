import type { ServerResponse } from "node:http";
import type { EngineRequest, EngineSequence } from "../engine/index.ts";
import type { Ms } from "../model/index.ts";
import type { Asked, Prompt } from "./request.ts";
import type { Envelope, FinishReason, StreamWriter } from "./wire.ts";

/** One HTTP request that generates: a number of answers, each a sequence of the engine. */
export interface Call {
  readonly id: number;
  readonly asked: Asked;
  readonly response: ServerResponse;
  readonly envelope: Envelope;
  readonly writer: StreamWriter;
  readonly promptTokens: number;
  readonly arrivedMs: Ms;
  readonly answers: readonly Answer[];
  /** Answers that are not over. */
  left: number;
  /** The roles of a streamed chat went out. */
  began: boolean;
  /** Bytes of this wake-up, written once. */
  pending: string;
}

/** What the engine is given: a request that knows whose it is. */
export interface Answer extends EngineRequest {
  readonly call: Call;
  readonly index: number;
  readonly prompt: Prompt;
  /** It ends because the limit is reached, not by itself. */
  readonly length: boolean;
  sequence: EngineSequence<Answer> | null;
  /** Prompt tokens that its first prefill skips. */
  hitTokens: number;
  firstMs: Ms | null;
  lastMs: Ms;
  tokens: number;
}

/** A word of four bytes a token, so that texts and counts agree. */
const words = [
  " lor",
  " ips",
  " dol",
  " sit",
  " ame",
  " con",
  " adi",
  " eli",
  " sed",
  " tem",
  " inc",
  " lab",
  " mag",
  " ali",
  " eni",
  " min",
];

export const reasonOf = ({ length }: Answer): FinishReason => (length ? "length" : "stop");

/** What the nth token says; the one that ends an answer by itself says nothing. */
export const wordOf = ({ call, index, length, outputTokens }: Answer, nth: number): string =>
  !length && nth === outputTokens ? "" : (words[(call.id + index + nth) % words.length] as string);

export const textOf = (answer: Answer): string => Array.from({ length: answer.tokens }, (_, at) => wordOf(answer, at + 1)).join("");
