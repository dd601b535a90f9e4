/** Where a room says what a person may want to know later; the face that starts it decides where that goes. */
export type Log = (level: "debug" | "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>) => void;
