import { noteSigner, signNote } from "../../../src/chain/note.ts";
import type { SimulatedMachine } from "../../../src/testing/simulate-network.ts";
import { signerFor } from "../../support/ledger.ts";
import type { Handler } from "./programs.ts";

/** A second history that a liar has. */
export interface Second {
  readonly handler: Handler;
  readonly size: number;
  readonly root: Uint8Array;
}

/** Milliseconds for which it lies in one way. */
const MOOD = 7000;

/**
 * Answers as a copy does, and now and then with what is wrong: sizes that nobody signed, blocks of a second
 * history under the checkpoint of the first, or all of the second under a stranger's signature.
 */
export function lying(
  { now, random }: Pick<SimulatedMachine, "now" | "random">,
  own: Handler,
  second: () => Second | undefined,
): Handler {
  return async (request) => {
    const mood = Math.floor(now() / MOOD) % 3;
    const other = second();
    const { pathname } = new URL(request.url);
    if (mood === 2 && other !== undefined) return invent(pathname, other, request);
    const response = await own(request);
    const [drawn] = random(1) as Uint8Array & [number];
    if (response.status !== 200 || drawn < 80) return response;
    if (pathname === "/checkpoint" && mood === 0) {
      const text = Buffer.from(await response.arrayBuffer()).toString("utf8");
      const [origin, size, ...rest] = text.split("\n") as [string, string, ...string[]];
      return new Response([origin, String(Number(size) + 1 + (drawn % 3)), ...rest].join("\n"));
    }
    if (other === undefined || !pathname.startsWith("/tile/blocks/")) return response;
    const theirs = await other.handler(new Request(request.url));
    return theirs.status === 200 ? theirs : response;
  };

  async function invent(pathname: string, other: Second, request: Request): Promise<Response> {
    const { handler, size, root } = other;
    if (pathname !== "/checkpoint") return handler(new Request(request.url));
    const origin = "history.example/simulated";
    const text = `${origin}\n${size}\n${Buffer.from(root).toString("base64")}\n`;
    const stranger = noteSigner(signerFor("a stranger"), origin);
    return new Response(new Uint8Array(await signNote(new TextEncoder().encode(text), [stranger])));
  }
}
