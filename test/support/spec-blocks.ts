import { readFileSync } from "node:fs";
import { fromHex } from "../../src/bytes/hex.ts";

/** The fenced blocks of one language in a page of `docs/spec`, in order. */
export function specBlocks(page: string, language: "hex" | "text"): string[] {
  const markdown = readFileSync(new URL(`../../docs/spec/${page}`, import.meta.url), "utf8");
  const fences = markdown.matchAll(/^```(\w*)\n(.*?)^```$/gmsu);
  return Array.from(fences)
    .filter(([, name]) => name === language)
    .map(([, , body]) => body!);
}

/** The values of a page's hex blocks: lines `label: hex`, continued on lines that are indented. */
export function specHex(page: string): (label: string) => Uint8Array {
  const values = new Map<string, Uint8Array>();
  for (const block of specBlocks(page, "hex")) {
    for (const line of block.replace(/\n +/gu, "").trimEnd().split("\n")) {
      const [, label, hex] = /^([^:]+): *([0-9a-f ]*)$/u.exec(line) ?? [];
      if (label === undefined || hex === undefined) throw new Error(`not a hex line: ${line}`);
      if (values.has(label)) throw new Error(`twice in ${page}: ${label}`);
      values.set(label, fromHex(hex.replaceAll(" ", "")));
    }
  }
  return (label) => {
    const value = values.get(label);
    if (value === undefined) throw new Error(`not in ${page}: ${label}`);
    return value;
  };
}
