import { readFileSync } from "node:fs";
import { fromHex } from "../../src/bytes/hex.ts";

/** A page of `docs/spec`, whose worked examples are checked. */
export interface SpecPage {
  /** The bytes of the fenced block that begins with "```hex name"; `#` begins a comment. */
  hex(name: string): Uint8Array;
  /** What stands in backticks in the second column of the table row that begins with this label. */
  value(label: string): string;
  readonly text: string;
}

export function specPage(name: string): SpecPage {
  const text = readFileSync(new URL(`../../docs/spec/${name}`, import.meta.url), "utf8");
  return {
    text,
    hex(block) {
      const body = text.split(`\n\`\`\`hex ${block}\n`)[1]?.split("\n```")[0];
      if (body === undefined) throw new Error(`${name} has no hex block ${block}`);
      return fromHex(body.replace(/#.*$/gm, "").replace(/\s/g, ""));
    },
    value(label) {
      const cells = text.split("\n").map((line) => line.split("|").map((cell) => cell.trim()));
      const row = cells.find((cell) => cell[1] === label)?.[2];
      if (row === undefined) throw new Error(`${name} has no row ${label}`);
      return row.replaceAll("`", "");
    },
  };
}
