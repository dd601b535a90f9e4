import { afterEach, expect, it } from "vitest";
import type { AdminHandler } from "../http/index.ts";
import { type AdminServer, serveAdmin } from "./admin-server.ts";

let server: AdminServer | undefined;
afterEach(() => server?.close());

const basic = (name: string, password: string) => `Basic ${Buffer.from(`${name}:${password}`).toString("base64")}`;

it.each([
  ["without a token", undefined, 401],
  ["as a bearer", "Bearer s3cret", 200],
  ["as a browser's password, whatever the name", basic("anyone", "s3cret"), 200],
  ["with a colon in the name's place", basic("", "s3cret"), 200],
  ["with a wrong password", basic("anyone", "secret"), 401],
  ["with the token as the name", basic("s3cret", ""), 401],
  ["in a scheme that is none of them", "Digest s3cret", 401],
])("is asked %s", async (_, authorization, status) => {
  server = await serveAdmin({ port: 0, host: "127.0.0.1", token: "s3cret" });
  const handler: AdminHandler = (_request, response) => {
    response.end("in");
    return true;
  };
  server.mount([handler], []);
  const answer = await fetch(server.url, { headers: authorization === undefined ? {} : { authorization } });
  expect(answer.status).toBe(status);
  if (status === 401) expect(answer.headers.get("www-authenticate")).toContain("Basic realm=");
  expect((await fetch(`${server.url}/livez`)).status).toBe(200);
});
