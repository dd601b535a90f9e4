import type { IncomingMessage, ServerResponse } from "node:http";

/** A part of an admin port. @returns false where the path is none of its own, so that handlers can be chained on one port */
export type AdminHandler = (request: IncomingMessage, response: ServerResponse) => boolean;
