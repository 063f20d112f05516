import { describe, expect, it } from "vitest";
import { sourceFiles } from "./source.ts";

/** Most lines of a source file. */
const LIMIT = 400;

/** Files whose one idea takes more lines: each has a bound of its own, and a reason. */
const LONGER: Readonly<Record<string, { readonly lines: number; readonly because: string }>> = {};

/** Paths of files that have too many lines, or an exception that they no longer need. */
function wrongLengths(
  files: readonly { readonly path: string; readonly text: string }[],
  longer: typeof LONGER,
): readonly string[] {
  const found: string[] = [];
  const lengths = new Map(files.map(({ path, text }) => [path, text.trimEnd().split("\n").length]));
  for (const [path, lines] of lengths) {
    const most = longer[path]?.lines ?? LIMIT;
    if (lines > most) found.push(`${path} has ${lines} lines, and may have ${most}`);
  }
  for (const path of Object.keys(longer)) {
    if ((lengths.get(path) ?? 0) <= LIMIT) found.push(`${path} needs no exception`);
  }
  return found;
}

describe("source files", () => {
  it(`have at most ${LIMIT} lines, but those listed with a reason`, () => {
    expect(wrongLengths(sourceFiles(), LONGER)).toEqual([]);
  });

  it("are reported if they are too long, or listed although they are short or gone", () => {
    const file = (path: string, lines: number) => ({ path, text: "x\n".repeat(lines) });
    const longer = {
      "b.ts": { lines: 500, because: "" },
      "c.ts": { lines: 500, because: "" },
      "d.ts": { lines: 500, because: "" },
      "e.ts": { lines: 500, because: "" },
    };
    const files = [
      file("a.ts", 400),
      file("a-longer.ts", 401),
      file("b.ts", 500),
      file("c.ts", 501),
      file("d.ts", 400),
    ];
    expect(wrongLengths(files, longer)).toEqual([
      "a-longer.ts has 401 lines, and may have 400",
      "c.ts has 501 lines, and may have 500",
      "d.ts needs no exception",
      "e.ts needs no exception",
    ]);
  });
});
