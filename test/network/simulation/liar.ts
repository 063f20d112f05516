import type { SimulatedMachine } from "../../../src/testing/simulate-network.ts";
import { signNote, noteSigner } from "../../../src/chain/note.ts";
import { signerFor } from "../../support/ledger.ts";
import type { Handler } from "./programs.ts";

/**
 * Answers as a copy does, and now and then with what is wrong: a size that is not signed, or blocks and tiles
 * of a second history.
 *
 * @param second - answers from it, once there is one
 */
export function lying(
  { random }: Pick<SimulatedMachine, "random">,
  own: Handler,
  second: () => Handler | undefined,
): Handler {
  return async (request) => {
    const { pathname } = new URL(request.url);
    const response = await own(request);
    const [drawn] = random(1) as Uint8Array & [number];
    if (response.status !== 200 || drawn < 100) return response;
    const other = second();
    if (pathname.startsWith("/checkpoint")) {
      const text = Buffer.from(await response.arrayBuffer()).toString("utf8");
      const [origin, size, ...rest] = text.split("\n") as [string, string, ...string[]];
      const larger = [origin, String(Number(size) + 1 + (drawn % 3)), ...rest].join("\n");
      if (drawn < 180) return new Response(larger);
      const end = larger.indexOf("\n\n") + 1;
      const body = new TextEncoder().encode(larger.slice(0, end));
      const note = await signNote(body, [noteSigner(signerFor("a stranger"), origin)]);
      return new Response(new Uint8Array(note));
    }
    if (!pathname.startsWith("/tile/") || other === undefined) return response;
    if (!pathname.startsWith("/tile/blocks/") && drawn < 200) return response;
    const theirs = await other(new Request(request.url));
    return theirs.status === 200 ? theirs : response;
  };
}
