/** A Kubernetes Status that a handler answers with. Source: apimachinery `pkg/apis/meta/v1`, StatusReason and its HTTP codes. */
const CODES = {
  BadRequest: 400,
  Unauthorized: 401,
  Forbidden: 403,
  NotFound: 404,
  MethodNotAllowed: 405,
  NotAcceptable: 406,
  InternalError: 500,
  ServiceUnavailable: 503,
} as const;
export type Reason = keyof typeof CODES;

export class ApiError extends Error {
  override readonly name = "ApiError";
  readonly reason: Reason;

  constructor(reason: Reason, message: string) {
    super(message);
    this.reason = reason;
  }

  get code(): number {
    return CODES[this.reason];
  }

  toJSON() {
    const { message, reason, code } = this;
    return { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, code };
  }
}
