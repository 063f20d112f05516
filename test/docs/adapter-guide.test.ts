import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const read = (path: string) =>
  readFileSync(fileURLToPath(new URL(`../../${path}`, import.meta.url)), "utf8");

/** Lines without their indentation: a fragment in the middle of a function is indented less. */
const lines = (text: string) =>
  text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("//"));

describe("the guide to writing an adapter", () => {
  const blocks = [...read("docs/guide/write-an-adapter.md").matchAll(/^```js\n([\s\S]*?)^```$/gm)];
  const shown = blocks.map(([, code]) => lines(code!).join("\n"));
  const examples = ["examples/file-storage.mjs", "examples/check-file-storage.mjs"];

  it("shows code that stands so in the examples", () => {
    const texts = examples.map((path) => lines(read(path)).join("\n"));
    expect(shown.length).toBeGreaterThan(5);
    for (const code of shown) {
      expect(
        texts.some((text) => text.includes(code)),
        code,
      ).toBe(true);
    }
  });

  it.each(examples)("shows all of %s", (path) => {
    const all = new Set(shown.flatMap((code) => code.split("\n")));
    expect(lines(read(path)).filter((line) => !all.has(line))).toEqual([]);
  });
});
