import type { SimulatedMachine } from "../../../../src/testing/simulate-network.ts";
import { concatBytes } from "../../../../src/bytes/concat.ts";
import { framesOf } from "../../../support/asking.ts";

/** Milliseconds for which it is honest, or not. */
const MOOD = 5000;

/**
 * Passes asks on to the custodian that their path names. While it is dishonest, it drops, repeats or swaps pages, or
 * gives those of another answer.
 *
 * @param see - called with all that passes through
 * @param isHeldBack - whether it keeps back what a custodian answers
 * @param isHonest - whether it is honest from now on
 */
export function runProxy(
  { now, random, fetch, serve }: SimulatedMachine,
  see: (bytes: Uint8Array, url: string) => void,
  isHeldBack: (custodian: string) => boolean,
  isHonest: () => boolean,
): void {
  let before: readonly Uint8Array[] = [];
  serve(async (request) => {
    const [, name, what] = new URL(request.url).pathname.split("/");
    const body = new Uint8Array(await request.arrayBuffer());
    see(body, request.url);
    const { signal } = request;
    const response = await fetch(`http://${name}.invalid/${what}`, {
      method: "POST",
      body,
      signal,
    });
    if (response.status !== 200) return response;
    const frames = framesOf(new Uint8Array(await response.arrayBuffer()));
    for (const frame of frames) see(frame, request.url);
    if (isHeldBack(name!))
      return new Response(null, { status: 503, headers: { "retry-after": "4" } });
    const isAltered = !isHonest() && Math.floor(now() / MOOD) % 3 === 0;
    const passed = isAltered ? altered(frames, random(2)) : frames;
    before = frames;
    return new Response(bodyOf(passed) as Uint8Array<ArrayBuffer>, response);
  });

  function altered(frames: readonly Uint8Array[], drawn: Uint8Array): readonly Uint8Array[] {
    const [how, at] = [drawn[0]! % 5, drawn[1]! % Math.max(1, frames.length)];
    const next = Math.min(at + 1, frames.length - 1);
    if (frames.length === 0 || how === 0) return frames;
    if (how === 1) return frames.toSpliced(at, 1);
    if (how === 2) return frames.toSpliced(at, 0, frames[at]!);
    if (how === 3) return frames.with(at, frames[next]!).with(next, frames[at]!);
    return frames.with(at, before[at] ?? frames[next]!);
  }
}

const bodyOf = (frames: readonly Uint8Array[]): Uint8Array =>
  concatBytes(
    ...frames.flatMap((frame) => {
      const prefix = new Uint8Array(4);
      new DataView(prefix.buffer).setUint32(0, frame.length);
      return [prefix, frame];
    }),
  );
