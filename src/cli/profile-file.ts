import { parseProfile } from "../config/index.ts";
import { type EngineProfile, findProfile, isProfileFile } from "../engine/index.ts";
import { readFile, readText } from "./documents.ts";

/**
 * A built-in profile by its name, or one that `tidegate calibrate` wrote, by its file (told by its ending), which is as measured and on no
 * other GPU. @throws TidegateError `engine/profile`, `config/unreadable`, `config/invalid`
 */
export const readProfile = (name: string, gpu?: string): EngineProfile =>
  isProfileFile(name) ? parseProfile(readText(name, readFile)) : findProfile(name, gpu);
