/** The engine model behind HTTP, in real time: a replica that a client cannot tell from vLLM. */
export { type Emulator, type EmulatorOptions, FAULTS, type Fault, startEmulator } from "./emulator.ts";
