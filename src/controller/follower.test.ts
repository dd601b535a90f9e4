import { createServer, type IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, it, onTestFinished } from "vitest";
import type { AdminHandler } from "../http/index.ts";
import { followerHandler } from "./follower.ts";
import type { Leadership } from "./leadership.ts";
import type { ControllerView } from "./view.ts";

async function serve(handle: AdminHandler): Promise<string> {
  const server = createServer((request, response) => {
    if (!handle(request, response)) response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const standby = { endpoints: [], version: "1", leadership: { identity: "me", leads: false, leader: "other" } } as unknown as ControllerView;
const follower = (holder: string | null, url: string | null) =>
  serve(followerHandler({ leadership: { holder: () => holder, holderUrl: () => url } as Leadership, view: () => standby }));

it("is ready and says who leads, also while nobody does", async () => {
  const text = async (url: string) => (await fetch(`${url}/readyz`)).text();
  expect(await text(await follower("other", null))).toBe("ok: other leads\n");
  expect(await text(await follower(null, null))).toBe("ok: nobody leads yet\n");
});

it("hands what it is asked on to the leader, with body, status and token", async () => {
  const seen: { method?: string | undefined; url?: string | undefined; headers: IncomingHttpHeaders; body: string }[] = [];
  const leader = await serve((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      seen.push({ method: request.method, url: request.url, headers: request.headers, body });
      response.writeHead(409, { "content-type": "application/json" }).end('{"said":"by the leader"}');
    });
    return true;
  });
  const url = await follower("other", leader);
  const answer = await fetch(`${url}/api/v1/endpoints/chat/pin?x=1`, {
    method: "POST",
    body: '{"replicas":3}',
    headers: { authorization: "Bearer secret" },
  });
  expect([answer.status, await answer.json()]).toEqual([409, { said: "by the leader" }]);
  expect(seen).toMatchObject([
    { method: "POST", url: "/api/v1/endpoints/chat/pin?x=1", body: '{"replicas":3}', headers: { authorization: "Bearer secret" } },
  ]);
});

it("answers for itself where the leader is away or unknown, and never hands on what was handed on", async () => {
  const gone = await follower("other", "http://127.0.0.1:1");
  expect(await (await fetch(`${gone}/api/v1/view`)).json()).toMatchObject({ leadership: { leads: false, leader: "other" } });
  const refused = await fetch(`${gone}/api/v1/desired`);
  expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "2"]);
  expect(await refused.json()).toMatchObject({
    error: { message: expect.stringContaining("other leads, but does not answer at http://127.0.0.1:1") },
  });
  const unknown = await fetch(`${await follower(null, null)}/api/v1/desired`);
  expect(await unknown.json()).toEqual({ error: { message: "no controller leads yet" } });
  // Two that each take the other for the leader.
  const first: { url: string | null } = { url: null };
  const a = await serve(
    followerHandler({ leadership: { holder: () => "b", holderUrl: () => first.url } as Leadership, view: () => standby }),
  );
  first.url = a;
  const answer = await fetch(`${a}/api/v1/desired`);
  expect([answer.status, await answer.json()]).toEqual([503, { error: { message: "b leads; ask it" } }]);
});

it("ends the stream to the leader when its own reader goes", async () => {
  let ended = () => {};
  const closed = new Promise<void>((resolve) => {
    ended = resolve;
  });
  const leader = await serve((_request, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    response.write("data: 1\n\n");
    response.on("close", ended);
    return true;
  });
  const abort = new AbortController();
  const answer = await fetch(`${await follower("other", leader)}/api/v1/desired/events`, { signal: abort.signal });
  const { value } = await answer.body!.getReader().read();
  expect(new TextDecoder().decode(value)).toBe("data: 1\n\n");
  abort.abort();
  await closed;
});
