import { type Int64, MAX_INT64, saturate64 } from "./int64.ts";

export type QuantityFormat = "DecimalSI" | "BinarySI" | "DecimalExponent";

/** Exactly `mantissa × 10^exponent`; `format` is only for printing. */
export interface Quantity {
  readonly mantissa: bigint;
  readonly exponent: number;
  readonly format: QuantityFormat;
}

const DECIMAL: ReadonlyMap<string, number> = new Map([
  ["n", -9],
  ["u", -6],
  ["m", -3],
  ["", 0],
  ["k", 3],
  ["M", 6],
  ["G", 9],
  ["T", 12],
  ["P", 15],
  ["E", 18],
]);
const BINARY: ReadonlyMap<string, number> = new Map([
  ["Ki", 10],
  ["Mi", 20],
  ["Gi", 30],
  ["Ti", 40],
  ["Pi", 50],
  ["Ei", 60],
]);
const NANO = -9;
const PATTERN = /^([+-]?)(\d*)(?:\.(\d*))?([numkMGTPE]?|[KMGTPE]i|[eE][+-]?\d+)$/;

/** @throws RangeError for text that is not a quantity. Source: apimachinery `pkg/api/resource`, ParseQuantity. */
export function parseQuantity(text: string): Quantity {
  const invalid = () => new RangeError(`invalid quantity "${text}": give a number with an optional suffix, such as 500m, 75, 1.5k or 2Gi`);
  const match = PATTERN.exec(text);
  if (match === null) throw invalid();
  const [, sign = "", whole = "", fraction = "", suffix = ""] = match;
  if (whole === "" && fraction === "") throw invalid();

  const binary = BINARY.get(suffix);
  const decimal = DECIMAL.get(suffix);
  const format: QuantityFormat = binary !== undefined ? "BinarySI" : decimal !== undefined ? "DecimalSI" : "DecimalExponent";
  const power = binary !== undefined ? 0 : (decimal ?? Number(suffix.slice(1)));
  if (!Number.isSafeInteger(power) || Math.abs(power) > 2 ** 31 - 1) throw invalid();

  const negative = sign === "-";
  const digits = BigInt(`${whole}${fraction}`);
  const signed = (mantissa: bigint) => (negative ? -mantissa : mantissa);
  if (digits === 0n) return { mantissa: 0n, exponent: 0, format };
  const numerator = whole.replace(/^0+/, "") || "0";

  // The integer path of the original: exact, without a cap.
  if (binary === undefined) {
    const exponent = power - fraction.length;
    if (18 - (numerator.length + fraction.length) >= 0 && exponent >= NANO) return { mantissa: signed(digits), exponent, format };
  } else if (fraction === "" && 15 - numerator.length - Math.trunc((binary * 3) / 10) - 1 >= 0) {
    return { mantissa: signed(digits << BigInt(binary)), exponent: 0, format };
  }

  // The decimal path: rounded away from zero to nano, then capped.
  const scaled = binary === undefined ? digits : digits << BigInt(binary);
  let mantissa = scaled;
  let exponent = power - fraction.length;
  if (exponent < NANO) {
    const drop = NANO - exponent;
    mantissa = drop > scaled.toString().length ? 1n : ceilQuotient(scaled, 10n ** BigInt(drop));
    exponent = NANO;
  }
  if (exceeds(mantissa, exponent, MAX_INT64)) {
    mantissa = MAX_INT64;
    exponent = 0;
  }
  const belowOne = exponent < 0 && mantissa < 10n ** BigInt(-exponent);
  return { mantissa: signed(mantissa), exponent, format: format === "BinarySI" && belowOne ? "DecimalSI" : format };
}

/** Thousandths, rounded away from zero; what does not fit int64 becomes its nearest end. */
export function milliOf(quantity: Quantity): Int64 {
  return scaledValue(quantity, 3);
}

function scaledValue({ mantissa, exponent }: Quantity, places: number): Int64 {
  const power = exponent + places;
  if (mantissa === 0n) return 0;
  if (power > 40) return saturate64(mantissa < 0n ? -(1n << 64n) : 1n << 64n);
  if (power >= 0) return saturate64(mantissa * 10n ** BigInt(power));
  const size = mantissa < 0n ? -mantissa : mantissa;
  const up = ceilQuotient(size, 10n ** BigInt(-power));
  return saturate64(mantissa < 0n ? -up : up);
}

/** -1, 0 or 1. */
export function signOf({ mantissa }: Quantity): number {
  return mantissa > 0n ? 1 : mantissa < 0n ? -1 : 0;
}

/** As AsApproximateFloat64: one multiplication of doubles, so that tolerances round as they do in Go. */
export function toNumber({ mantissa, exponent }: Quantity): number {
  return exponent === 0 ? Number(mantissa) : Number(mantissa) * Number(`1e${exponent}`);
}

/** Canonical text: the largest suffix that needs no fraction. */
export function formatQuantity(quantity: Quantity): string {
  let { mantissa, exponent } = quantity;
  if (mantissa === 0n) return "0";
  while (mantissa % 10n === 0n) {
    mantissa /= 10n;
    exponent++;
  }
  const whole = exponent >= 0 && exponent <= 40 ? mantissa * 10n ** BigInt(exponent) : null;
  if (quantity.format === "BinarySI" && whole !== null && (whole >= 1024n || whole <= -1024n)) {
    let rest = whole;
    let suffix = "";
    for (const next of BINARY.keys()) {
      if (rest % 1024n !== 0n) break;
      rest /= 1024n;
      suffix = next;
    }
    return `${rest}${suffix}`;
  }
  const step = Math.floor(exponent / 3) * 3;
  const text = `${mantissa * 10n ** BigInt(exponent - step)}`;
  if (quantity.format === "DecimalExponent") return step === 0 ? text : `${text}e${step}`;
  const suffix = [...DECIMAL].find(([, power]) => power === step)?.[0];
  return suffix === undefined ? `${text}e${step}` : `${text}${suffix}`;
}

/** Thousandths as a quantity. */
export function milliQuantity(milli: Int64, format: QuantityFormat = "DecimalSI"): Quantity {
  return { mantissa: BigInt(milli), exponent: -3, format };
}

function ceilQuotient(dividend: bigint, divisor: bigint): bigint {
  return (dividend + divisor - 1n) / divisor;
}

/** Whether `mantissa × 10^exponent > limit` for a mantissa > 0. */
function exceeds(mantissa: bigint, exponent: number, limit: bigint): boolean {
  if (exponent > 40) return true;
  return exponent >= 0 ? mantissa * 10n ** BigInt(exponent) > limit : mantissa > limit * 10n ** BigInt(-exponent);
}
