/** Every way in which Tidegate itself fails, by room; match on this, never on the message. */
export type ErrorCode =
  | "config/invalid"
  | "config/unreadable"
  | "trace/invalid"
  | "trace/unreadable"
  | "signal/unreachable"
  | "signal/malformed"
  | "platform/busy"
  | "platform/refused"
  | "platform/unreachable"
  | "history/unwritable"
  | "history/corrupt"
  | "gateway/port"
  | "admin/unreachable"
  | "admin/refused"
  | "engine/profile"
  | "usage";

/** The one error that reaches users: the message names the thing, the value and the way out. */
export class TidegateError extends Error {
  override readonly name = "TidegateError";
  readonly code: ErrorCode;
  /** Whether the same call may succeed later without anyone changing anything. */
  readonly retryable: boolean;

  constructor(code: ErrorCode, message: string, options: { retryable?: boolean; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}

/** The message of anything thrown, with the messages of its causes behind it. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const own = error.message === "" ? error.name : error.message;
  return error.cause === undefined || error instanceof TidegateError ? own : `${own}: ${messageOf(error.cause)}`;
}
