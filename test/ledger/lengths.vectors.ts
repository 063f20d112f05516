import { expect, it } from "vitest";
import {
  guess,
  guessCodes,
  guessOften,
  overall,
  sealEach,
  type Guesses,
} from "../support/guess-by-length.ts";
import { describeVectors } from "../support/vectors.ts";

/** How many points better than the majority a guess may be. */
const FIVE_POINTS = 0.05;
const gain = ({ right, majority }: Guesses): number => right - majority;

describeVectors("lengths of sealed records", "synthea", (folder) => {
  it("do not tell the code to somebody who knows the type", { timeout: 600_000 }, async () => {
    const records = await sealEach(folder, "stepped", true);
    expect(records.length).toBeGreaterThan(2000);
    const codes = guessCodes(records, ({ lengths }) => lengths);
    expect(codes.size).toBeGreaterThan(5);
    expect(gain(overall(codes))).toBeLessThanOrEqual(FIVE_POINTS);
    for (const [type, guesses] of codes) {
      expect(gain(guesses), type).toBeLessThanOrEqual(FIVE_POINTS);
    }
    // The guesser is good at it where nothing is padded.
    const plain = guessCodes(records, (record) => record.plain);
    expect(gain(overall(plain))).toBeGreaterThan(0.5);
    expect(gain(guessOften(records.map((record) => [record.type, record.plain])))).toBeGreaterThan(
      0.3,
    );
  });

  it("do not tell the type either with `uniform`, up to 16 KiB", { timeout: 600_000 }, async () => {
    const records = await sealEach(folder, "uniform", false);
    const short = records.filter(({ lengths }) => Math.max(...lengths) <= 16_384 + 16);
    expect(short.length).toBeGreaterThan(2000);
    const types = guessOften(short.map(({ type, lengths }) => [type, lengths]));
    expect(gain(types)).toBeLessThanOrEqual(FIVE_POINTS);
    expect(gain(overall(guessCodes(short, ({ lengths }) => lengths)))).toBeLessThanOrEqual(
      FIVE_POINTS,
    );
  });

  it("are guessed by the nearest known ones", () => {
    const samples = Array.from({ length: 100 }, (_, i): [string, number[]] =>
      i % 4 === 0 ? ["rare", [100 + (i % 3), 7]] : ["common", [200 + (i % 5), 7]],
    );
    expect(guess(samples, 1).right).toBe(1);
    expect(
      guess(
        samples.map(([label]) => [label, [1, 1]]),
        1,
      ),
    ).toMatchObject(
      (({ majority, count }) => ({ right: majority, majority, count }))(guess(samples, 1)),
    );
  });
});
