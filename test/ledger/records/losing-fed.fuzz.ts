import { beforeAll, describe, expect, it } from "vitest";
import { LedgerError } from "../../../src/errors.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import {
  bundleOf,
  medication,
  namesIn,
  ndjson,
  patient,
  permitting,
  prescription,
  refusing,
  ZIDOVUDINE,
} from "../../support/drugs.ts";
import { effort } from "../../support/effort.ts";
import { MRN, observation, treatmentOnly } from "../../support/hospital.ts";
import { shown, snapshotOf, storageFrom, type Snapshot } from "../../support/loss-scene.ts";
import { collect, ward, type Ward } from "../../support/ward.ts";

// What a source sends rests on more than its own entries: on what is kept about nobody, on names of persons,
// on the records of a document's parts, on proposals. Each may be lost apart from the rest.

type Json = Record<string, unknown>;
const SOURCE = { source: "ehr-1" } as const;
const OTHER = { ...MRN, value: "other" };
const TAKEN = { source: "ehr-1", reference: "Patient/z" } as const;
const OPTIONS = { signedHeads: "store" } as const;

const about = (who: string, resource: Json): Json => ({
  ...resource,
  subject: { reference: `Patient/${who}` },
});
const pressure = (id: string, who: string): Json => about(who, JSON.parse(observation(id)) as Json);
const DRUG = medication("m", ZIDOVUDINE);
const MINE = prescription("r", "Medication/m");
const HERS = about("q", prescription("s", "Medication/m"));
const DOCUMENT: Json = {
  resourceType: "Bundle",
  id: "d",
  type: "document",
  identifier: { system: "urn:documents", value: "1" },
  timestamp: "2026-01-02T03:04:05Z",
  entry: [
    about("q", { resourceType: "Composition", id: "c", status: "final", date: "2026-01-02" }),
    patient("q", OTHER),
    pressure("ended", "q"),
  ].map((resource) => ({
    fullUrl: `https://ehr.example/${String(resource["resourceType"])}/${String(resource["id"])}`,
    resource,
  })),
};
const FED = [DRUG, MINE, HERS, pressure("o", "q"), patient("q", OTHER)];

interface Scene {
  readonly w: Ward;
  readonly whole: Snapshot;
}

/**
 * A prescription that comes before its drug and its patient, who refuses the drug; another one of the same
 * drug; a document with a part that ended; somebody known by name only, whose number is another's.
 */
async function play(): Promise<Scene> {
  const inner = memoryStorage();
  const w = await ward({ inner, ...OPTIONS });
  const { hl, me } = w;
  const feed = (...lines: Json[]) => hl.recordNdjson(ndjson(lines), SOURCE);
  await w.permit(refusing(ZIDOVUDINE));
  await feed(patient(), pressure("early", "z"));
  await feed(MINE, patient("q", OTHER), HERS);
  await feed(DRUG, { resourceType: "Organization", id: "unused" });
  await feed(pressure("o", "q"), DOCUMENT, patient("z", OTHER));
  const her = (await hl.findSubject(OTHER))!;
  const permit = treatmentOnly(w.patient, { ...permitting, lineage: "hers" });
  await hl.consent(her, permit, { signer: w.patient });
  const ended = [{ resourceType: "Observation", id: "ended" }];
  await hl.recordBundle(
    null,
    bundleOf(ended, () => ({
      resource: undefined,
      request: { method: "DELETE", url: "Observation/ended" },
    })),
    SOURCE,
  );
  expect(await hl.records(me)).not.toHaveLength(0);
  await hl.close();
  return { w, whole: await snapshotOf(inner) };
}

/** What could take what is lost for what never was; those that write come last. */
const callsOf = ({ w: { b, me } }: Scene): Record<string, (hl: Ledger) => Promise<unknown>> => {
  const ask = async (hl: Ledger, patient_: typeof MRN, types?: readonly string[]) =>
    namesIn(
      await hl.request(b, {
        ...{ patient: patient_, purposes: ["TREAT"] },
        ...(types === undefined ? {} : { query: { types } }),
      }),
    );
  const feed = async (hl: Ledger) => {
    const { recorded, amended, retracted, copied, skipped, known, older } = await hl.recordNdjson(
      ndjson(FED),
      SOURCE,
    );
    return { recorded, amended, retracted, copied, skipped, known, older };
  };
  return {
    "records of one": async (hl) =>
      (await hl.records(me)).map(({ head, retracted }) => [head.id, retracted]),
    "who has the name": async (hl) => (await hl.findSubject(TAKEN))?.local,
    "the resource of a source": async (hl) =>
      (await hl.find({ ...SOURCE, type: "MedicationRequest", id: "r" })).map(({ id }) => id),
    unassigned: async (hl) =>
      (await collect(hl.unassigned())).map(({ type, id }) => `${type}/${id}`),
    proposals: async (hl) => (await collect(hl.proposals())).length,
    "asking for what is refused": (hl) => ask(hl, MRN),
    "asking for prescriptions that are refused": (hl) => ask(hl, MRN, ["MedicationRequest"]),
    "asking the other": (hl) => ask(hl, OTHER),
    "asking the other for prescriptions": (hl) => ask(hl, OTHER, ["MedicationRequest"]),
    "feeding again": feed,
    "feeding once more": feed,
    "asking once more": (hl) => ask(hl, MRN),
    "asking the other once more": (hl) => ask(hl, OTHER),
  };
};

/** What each call answers: its result, or the code of a typed error. */
async function answers(scene: Scene, hl: Ledger): Promise<Map<string, string>> {
  const all = new Map<string, string>();
  for (const [name, call] of Object.entries(callsOf(scene))) {
    try {
      all.set(name, shown(await call(hl)));
    } catch (error) {
      if (!(error instanceof LedgerError)) throw new Error(`${name}: untyped`, { cause: error });
      all.set(name, `error ${error.code}`);
    }
  }
  return all;
}

/** `HEALTHLEDGER_FED_LOSSES`: every how many losses are tried; 1, in short runs 6. */
const EVERY = effort("HEALTHLEDGER_FED_LOSSES", { full: 1, short: 6 });

/** Copies of a store, each without one blob or one row of its state. */
function* lacking({ blobs, state, ...rest }: Snapshot): Iterable<readonly [string, Snapshot]> {
  for (const { cid } of blobs) {
    yield [`blob ${cid}`, { ...rest, state, blobs: blobs.filter((one) => !one.cid.equals(cid)) }];
  }
  for (const key of state.keys()) {
    const left = new Map([...state].filter(([name]) => name !== key));
    yield [`row ${key}`, { ...rest, blobs, state: left }];
  }
}

describe("a store that lost something of what a source sent", () => {
  let scene: Scene;
  let right: Map<string, string>;

  const answersOf = async (snapshot: Snapshot, open: object): Promise<Map<string, string>> => {
    let hl: Ledger | undefined;
    try {
      hl = await scene.w.open({ storage: await storageFrom(snapshot), ...OPTIONS, ...open });
      return await answers(scene, hl);
    } catch (error) {
      if (error instanceof LedgerError) return new Map([["opening", `error ${error.code}`]]);
      throw error;
    } finally {
      // It cannot write what it has lost.
      await hl?.close().catch(() => undefined);
    }
  };

  beforeAll(async () => {
    scene = await play();
    right = await answersOf(scene.whole, {});
  }, 60_000);

  it("answers rightly when nothing is lost", async () => {
    const counts = { retracted: 0, copied: 0, skipped: 0 };
    const hers = [
      ...["Composition/c", "Medication/m", "MedicationRequest/s", "Observation/o", "Patient/q"],
    ];
    expect(Object.fromEntries(right)).toMatchObject({
      unassigned: shown(["Organization/unused"]),
      proposals: "1",
      // A Patient has no code, so nothing tells that the refusal does not cover it.
      "asking for what is refused": "[]",
      "asking for prescriptions that are refused": "[]",
      "asking the other": shown(hers),
      "asking the other for prescriptions": shown(hers.slice(1, 3)),
      // The prescriptions came before their drug, and get its labels now that they come with it.
      "feeding again": shown({ recorded: 0, amended: 2, ...counts, known: 3, older: 0 }),
      "feeding once more": shown({ recorded: 0, amended: 0, ...counts, known: 5, older: 0 }),
      "asking once more": "[]",
      "asking the other once more": shown(hers),
    });
    expect([...right].filter(([, answer]) => answer.startsWith("error "))).toEqual([]);
  });

  for (const [when, open] of [
    ["as it is", {}],
    ["and its index was rebuilt", { repair: { index: true } }],
  ] as const) {
    it(`is right or says so, ${when}`, { timeout: 1_800_000 }, async () => {
      const faults: string[] = [];
      let noticed = 0;
      for (const [at, [lost, rest]] of [...lacking(scene.whole)].entries()) {
        if (at % EVERY !== 0) continue;
        const found = [...(await answersOf(rest, open))];
        if (found.some(([, answer]) => answer.startsWith("error "))) noticed++;
        for (const [name, answer] of found) {
          if (answer === right.get(name) || answer.startsWith("error ")) continue;
          faults.push(`${lost}: ${name}: ${answer}, not ${right.get(name)}`);
        }
      }
      expect(faults).toEqual([]);
      expect(noticed).toBeGreaterThan(5);
    });
  }
});
