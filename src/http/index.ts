/** Fetching text and JSON with trouble translated, and the client of a gateway's admin API. */
export { type AdminDoorOptions, adminDoor } from "./admin-door.ts";
export type { AdminHandler } from "./admin-handler.ts";
export { type ClosableDoor, type DoorsBehindOptions, doorAt, doorsBehind } from "./doors-behind.ts";
export { followEvents } from "./event-stream.ts";
export { type FetchOptions, fetchJson, fetchText } from "./fetch.ts";
export { type FollowAddressesOptions, followAddresses, isFollowed } from "./followed-addresses.ts";
export { type TimeLimit, timeLimit } from "./time-limit.ts";
