// @ts-check
// Prints 60 comments of src and 40 sentences of the docs, drawn at random, each with its file and line.
// The same seed draws the same from the same text: `node scripts/sample-prose.mjs [seed]`.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";

const COMMENTS = 60;
const SENTENCES = 40;

/** @typedef {{ file: string, line: number, text: string }} Passage */

/** @param {string} folder @param {RegExp} wanted @returns {string[]} */
const filesIn = (folder, wanted) =>
  readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((path) => join(folder, path))
    .filter((path) => wanted.test(path))
    .sort();

/** @param {string} text @param {number} index */
const lineAt = (text, index) => text.slice(0, index).split("\n").length;

/** Comments of a file; lines of `//` that follow one another are one. */
/** @param {string} file @returns {Passage[]} */
function commentsOf(file) {
  const text = readFileSync(file, "utf8");
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  /** @type {Map<number, number>} ends by beginning: neighbours share a comment */
  const ranges = new Map();
  /** @param {ts.Node} node */
  const visit = (node) => {
    // Templates have no comments, and may hold what looks like one.
    const inText = ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node);
    if (!inText) {
      for (const { pos, end } of ts.getLeadingCommentRanges(text, node.getFullStart()) ?? [])
        ranges.set(pos, end);
      for (const { pos, end } of ts.getTrailingCommentRanges(text, node.end) ?? [])
        ranges.set(pos, end);
    }
    for (const child of node.getChildren(source)) visit(child);
  };
  visit(source);
  /** @type {{ pos: number, end: number }[]} */
  const joined = [];
  for (const [pos, end] of [...ranges].sort(([a], [b]) => a - b)) {
    const last = joined.at(-1);
    const follows = last !== undefined && /^\n[ \t]*$/.test(text.slice(last.end, pos));
    if (follows && text.startsWith("//", last.pos) && text.startsWith("//", pos)) last.end = end;
    else joined.push({ pos, end });
  }
  return joined.map(({ pos, end }) => ({
    file,
    line: lineAt(text, pos),
    text: text
      .slice(pos, end)
      .replace(/^\/\*\*?|\*\/$/g, "")
      .replace(/^[ \t]*(?:\*|\/\/) ?/gm, "")
      .trim(),
  }));
}

/** Sentences of a page's paragraphs and list items: no code, no headings, no tables. */
/** @param {string} file @returns {Passage[]} */
function sentencesOf(file) {
  const blank = (/** @type {string} */ block) => block.replace(/[^\n]/g, "");
  const text = readFileSync(file, "utf8")
    .replace(/^```[\s\S]*?^```/gm, blank)
    .replace(/^(?:#|\||---).*$/gm, blank);
  /** @type {Passage[]} */
  const sentences = [];
  // A paragraph ends with an empty line, or where a list item begins.
  for (const paragraph of text.matchAll(/\S(?:(?!\n[ \t]*\n|\n[ \t]*(?:[-*]|\d+\.) )[\s\S])*/g)) {
    const words = paragraph[0].replace(/^(?:[-*]|\d+\.) /, (mark) => " ".repeat(mark.length));
    for (const sentence of words.matchAll(/\S[\s\S]*?[.?!:](?=\s+[A-Z`*[“"(]|\s*$)|\S[\s\S]*$/g)) {
      sentences.push({
        file,
        line: lineAt(text, paragraph.index + sentence.index),
        text: sentence[0].replace(/\s+/g, " ").trim(),
      });
    }
  }
  return sentences.filter(({ text: sentence }) => sentence.split(" ").length > 3);
}

/** Numbers below 1 that follow from a seed (mulberry32). */
/** @param {number} seed */
function randomFrom(seed) {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** @param {Passage[]} from @param {number} count @param {() => number} random */
function draw(from, count, random) {
  const left = [...from];
  const drawn = [];
  while (drawn.length < count && left.length > 0) {
    drawn.push(...left.splice(Math.floor(random() * left.length), 1));
  }
  return drawn;
}

const seed = Number(process.argv[2] ?? 1);
if (!Number.isSafeInteger(seed)) throw new TypeError("the seed is a whole number");
const random = randomFrom(seed);
const comments = filesIn("src", /\.ts$/).flatMap(commentsOf);
const sentences = filesIn("docs", /\.md$/)
  .filter((file) => !file.startsWith(join("docs", "api")))
  .flatMap(sentencesOf);
for (const { file, line, text } of [
  ...draw(comments, COMMENTS, random),
  ...draw(sentences, SENTENCES, random),
]) {
  console.log(`${file}:${line}\n  ${text.replace(/\n/g, "\n  ")}\n`);
}
console.log(
  `seed ${seed}: ${COMMENTS} of ${comments.length} comments, ${SENTENCES} of ${sentences.length} sentences`,
);
