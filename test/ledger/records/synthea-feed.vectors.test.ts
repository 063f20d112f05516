import { readdirSync } from "node:fs";
import { expect, it } from "vitest";
import type { Ledger } from "../../../src/index.ts";
import { collect, ward } from "../../support/ward.ts";
import { describeVectors, readVector } from "../../support/vectors.ts";

interface Synthea {
  readonly entry: readonly { readonly resource: { resourceType: string; id: string } }[];
}
interface Patient {
  readonly identifier: readonly { readonly system: string; readonly value: string }[];
}

/** A generator of numbers below a bound, the same for the same seed. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

function shuffled<T>(list: readonly T[], random: (below: number) => number): T[] {
  const all = [...list];
  for (let i = all.length - 1; i > 0; i--) {
    const j = random(i + 1);
    [all[i], all[j]] = [all[j]!, all[i]!];
  }
  return all;
}

/** Types that are about nobody. */
const ABOUT_NOBODY = new Set(["Organization", "Practitioner"]);

describeVectors("synthea's patients, sent by one source", "synthea", (folder) => {
  const bundles = readdirSync(folder)
    .filter((file) => file.endsWith(".json"))
    .map((file) => readVector("synthea", file));
  const read = bundles.map((text) => JSON.parse(text) as Synthea);

  /**
   * What is to be current of each patient: type and id of each resource that is about somebody, and of each other
   * one whose name occurs in the text of those.
   */
  const expected = read.map(({ entry }) => {
    const about = entry.filter(({ resource }) => !ABOUT_NOBODY.has(resource.resourceType));
    const text = JSON.stringify(about);
    const serving = entry.filter(
      ({ resource: { resourceType, id } }) =>
        ABOUT_NOBODY.has(resourceType) && text.includes(`"urn:uuid:${id}"`),
    );
    return {
      number: (
        entry.find(({ resource }) => resource.resourceType === "Patient")!
          .resource as unknown as Patient
      ).identifier[0]!,
      names: [...about, ...serving]
        .map(({ resource: { resourceType, id } }) => `${resourceType}/${id}`)
        .sort(),
      count: about.length,
      served: serving.length,
    };
  });
  const servedInAll = expected.reduce((sum, { served }) => sum + served, 0);

  /** The same resources as an export has them: each on a line, and references by type and id. */
  const types = new Map(
    read.flatMap(({ entry }) =>
      entry.map(({ resource: { resourceType, id } }) => [id, resourceType] as const),
    ),
  );
  const lines = read.flatMap(({ entry }) =>
    entry.map(({ resource }) =>
      JSON.stringify(resource).replace(/urn:uuid:([0-9a-f-]{36})/g, (urn, id: string) => {
        const type = types.get(id);
        return type === undefined ? urn : `${type}/${id}`;
      }),
    ),
  );
  const nameOf = (line: string): string => {
    const { resourceType, id } = JSON.parse(line) as { resourceType: string; id: string };
    return `${resourceType}/${id}`;
  };
  const isPatient = (line: string): boolean => nameOf(line).startsWith("Patient/");

  /** The current records of each patient, and their exact text where an export gave it. */
  async function current(hl: Ledger, texts?: ReadonlyMap<string, string>): Promise<void> {
    for (const { number, names } of expected) {
      const subject = (await hl.findSubject(number))!;
      const living = (await hl.records(subject)).filter(({ retracted }) => !retracted);
      const found = living.map(({ head: { manifest } }) => {
        return `${manifest.resource!.type}/${manifest.resource!.id}`;
      });
      expect(found.sort()).toEqual(names);
      for (const { record, head } of texts === undefined ? [] : living.slice(0, 20)) {
        const { type, id } = head.manifest.resource!;
        const text = new TextDecoder().decode(await hl.read(record));
        expect(text).toBe(texts!.get(`${type}/${id}`));
      }
    }
  }

  it("as transactions, twice, in any order", { timeout: 300_000 }, async () => {
    const { hl } = await ward();
    const random = seeded(7);
    let known = 0;
    let copied = 0;
    const kept = new Map<string, string[]>();
    for (const text of shuffled([...bundles, ...bundles], random)) {
      const said = await hl.recordBundle(null, text, { source: "synthea" });
      known += said.known.length;
      copied += said.copied.length;
      expect(said.skipped).toEqual([]);
      for (const { resource, as } of said.kept) {
        kept.set(resource.id, [...(kept.get(resource.id) ?? []), as]);
      }
    }
    const count = expected.reduce((sum, one) => sum + one.count, 0);
    expect(known).toBe(count);
    expect(copied).toBe(servedInAll);
    // Once each, in whichever bundle it came first.
    for (const [first, ...others] of kept.values()) {
      expect(first).toBe("created");
      expect(new Set(others)).toEqual(new Set(["recorded"]));
    }
    expect(await collect(hl.unassigned())).toEqual([]);
    await current(hl);
  });

  it("as NDJSON, cut anywhere, resumed, and sent again", { timeout: 300_000 }, async () => {
    const w = await ward();
    const random = seeded(11);
    const patients = shuffled(lines.filter(isPatient), random);
    const others = shuffled(
      lines.filter((line) => !isPatient(line)),
      random,
    );
    const bytes = new TextEncoder().encode([...patients, ...others].join("\n"));
    function* pieces(length: number): Generator<Uint8Array> {
      for (let at = 0; at < length;) {
        const to = Math.min(length, at + 1 + random(200_000));
        yield bytes.subarray(at, to);
        at = to;
      }
    }
    const count = lines.length;
    let copied = 0;
    // It breaks off, within a line as a rule; what is left of that line is not read.
    for (const part of [0.3, 0.6]) {
      const some = await w.hl.recordNdjson(pieces(Math.floor(part * bytes.length)), {
        source: "synthea",
      });
      copied += some.copied;
    }
    const whole = await w.hl.recordNdjson(pieces(bytes.length), { source: "synthea" });
    expect(whole.known).toBeGreaterThan(count / 2);
    expect(whole.recorded + whole.known).toBe(count);
    expect(whole).toMatchObject({
      amended: 0,
      older: 0,
      retracted: 0,
      skipped: 0,
      subjects: 10,
    });
    expect(copied + whole.copied).toBe(servedInAll);
    const again = await w.hl.recordNdjson(pieces(bytes.length), { source: "synthea" });
    expect(again).toMatchObject({ recorded: 0, amended: 0, known: count, skipped: 0, copied: 0 });
    await current(w.hl, new Map(lines.map((line) => [nameOf(line), line])));

    // The transactions of the same source are the same resources, and came last.
    const said = await w.hl.recordBundle(null, bundles[0]!, { source: "synthea" });
    expect(said.recorded.filter(({ amends }) => amends === undefined)).toEqual([]);
    await current(w.hl);
  });
});
