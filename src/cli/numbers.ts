import { InvalidArgumentError } from "commander";

// Flags that are numbers; commander puts the flag's name before what is thrown.

export function above0(text: string): number {
  const value = Number(text);
  if (!(value > 0) || !Number.isFinite(value)) throw new InvalidArgumentError("It must be a number above 0.");
  return value;
}

export function from0(text: string): number {
  const value = Number(text);
  if (!(value >= 0) || !Number.isFinite(value)) throw new InvalidArgumentError("It must be a number of at least 0.");
  return value;
}

export function wholeAbove0(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 1) throw new InvalidArgumentError("It must be a whole number from 1 on.");
  return value;
}

/** Whole from 0 on: a seed, a count. */
export function wholeFrom0(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new InvalidArgumentError("It must be a whole number from 0 on.");
  return value;
}
