import { describe, expect, it } from "vitest";
import type { EntryId } from "../../../src/codec/ids.ts";
import { memorySigner } from "../../../src/identity/signer.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import type { Subject } from "../../../src/ledger/entries/subjects.ts";
import { treatmentOnly } from "../../support/hospital.ts";
import { bytesFor } from "../../support/ledger.ts";
import { collect, opened, ward, type Ward } from "../../support/ward.ts";
import { WHOM, type Act, type Number, type Sent, type Who } from "./whom-situations.ts";

const SOURCE = "ehr-1";
const reason = "by hand";
const when = { purposes: ["TREAT"] };
const rule = (effect: "permit" | "deny") =>
  ({ id: "all", effect, combine: "deny-overrides", when }) as const;
const HOUSE = {
  ...treatmentOnly(memorySigner({ alg: "Ed25519", secret: bytesFor("officer") }), {
    ...{ lineage: "house", default: "none", root: rule("permit") },
  }),
};

const identifierOf = (number: Number): { system: string; value: string; use?: string } => {
  const [system, value] = number.split("-") as [string, string];
  return system === "old"
    ? { system: "urn:mrn", value, use: "old" }
    : { system: `urn:${system}`, value };
};
const isNumber = (who: string): who is Number => /^(mrn|ins|old)-/.test(who);

function resourceOf(sent: Sent): object {
  const { id, type = "Observation", numbers, about, alsoNumber, v, status, link, more } = sent;
  const subject =
    about === undefined
      ? undefined
      : {
          ...(isNumber(about) ? { identifier: identifierOf(about) } : { reference: about }),
          ...(alsoNumber !== undefined && { identifier: identifierOf(alsoNumber) }),
        };
  return {
    ...{ resourceType: type, id },
    ...(v !== undefined && { meta: { versionId: v } }),
    ...(numbers !== undefined && { identifier: numbers.map(identifierOf) }),
    ...(subject && (type === "AllergyIntolerance" ? { patient: subject } : { subject })),
    ...(type === "Observation" && {
      status: status ?? "final",
      code: { coding: [{ system: "http://loinc.org", code: "8480-6" }] },
    }),
    ...(link !== undefined && { link: [{ other: { reference: link }, type: "seealso" }] }),
    ...more,
  };
}

const find = (hl: Ledger, who: Who): Promise<Subject | undefined> =>
  hl.findSubject(isNumber(who) ? identifierOf(who) : { source: SOURCE, reference: who });

const known = async (hl: Ledger, who: Who): Promise<Subject> => {
  const subject = await find(hl, who);
  if (subject === undefined) throw new Error(`nobody is ${who}`);
  return subject;
};

/** Sends resources; whose each became, `undefined` where it was not recorded. */
async function sendTo(hl: Ledger, act: Extract<Act, { send: unknown }>) {
  const { send, as = "collection", source = SOURCE } = act;
  const entry = send.map((one) => {
    const { method, url, fullUrl } = one;
    return {
      ...(fullUrl !== undefined && { fullUrl }),
      ...(one.id !== undefined && { resource: resourceOf(one) }),
      ...(method !== undefined && { request: { method, url } }),
    };
  });
  const bundle = JSON.stringify({ resourceType: "Bundle", type: as, entry });
  const said = await hl.recordBundle(null, bundle, source === "" ? {} : { source });
  const whose = new Map<number, Subject>();
  for (const list of [said.recorded, said.known]) {
    for (const { index, subject } of list) whose.set(index, subject);
  }
  return send.flatMap(({ id }, index) => (id === undefined ? [] : [whose.get(index)]));
}

/** Sends NDJSON; whose each became is looked up afterwards. */
async function sendLines(hl: Ledger, { send, source = SOURCE }: Extract<Act, { send: unknown }>) {
  const lines = send.map((one) => `${JSON.stringify(resourceOf(one))}\n`);
  const { problems } = await hl.recordNdjson(lines, { source });
  const skipped = new Set(problems.map(({ line }) => line - 1));
  return Promise.all(
    send.map(async ({ type = "Observation", id = "" }, index) => {
      if (skipped.has(index)) return undefined;
      const found = await hl.find({ source, type, id });
      return (found.find(({ ended }) => !ended) ?? found.at(-1))?.subject;
    }),
  );
}

/** Whether two are one, or joined: what is listed about either is about both. */
async function areOne(hl: Ledger, one: Subject, other: Subject): Promise<boolean> {
  if (one.local.join() === other.local.join()) return true;
  const [mine, yours] = [await hl.records(one), await hl.records(other)];
  return (
    mine.length > 0 &&
    mine.map(({ record }) => record).join() === yours.map(({ record }) => record).join()
  );
}

async function run(w: Ward, acts: readonly Act[]): Promise<void> {
  const { hl } = w;
  let link: EntryId | undefined;
  for (const [at, act] of acts.entries()) {
    if ("know" in act) await hl.ensureSubject(identifierOf(act.know));
    else if ("refuse" in act) {
      const key = memorySigner({ alg: "Ed25519", secret: bytesFor(`key ${at}`) });
      const refusal = treatmentOnly(key, { root: rule("deny"), lineage: `refusal ${at}` });
      await hl.consent(await known(hl, act.refuse), refusal, { signer: key });
    } else if ("merge" in act) {
      const [one, other] = act.merge;
      link = await hl.merge(await known(hl, one), await known(hl, other), { reason });
    } else if ("unmerge" in act) await hl.unmerge(link!, { reason });
    else if ("identify" in act) {
      await hl.identify(await known(hl, act.identify[0]), [identifierOf(act.identify[1])]);
    } else if ("dismiss" in act) {
      for (const { id } of await collect(hl.proposals())) await hl.dismissProposal(id, { reason });
    } else if ("forget" in act) {
      const subject = await known(hl, act.forget);
      await hl.erase(subject, { all: true, forgetSubject: true, reason });
    } else if ("move" in act) {
      const [id, to] = act.move;
      const [found] = await hl.find({ source: SOURCE, type: "Patient", id });
      await hl.reattribute(found!.id, await known(hl, to), reason);
    } else {
      const whose = await (act.as === undefined ? sendLines(hl, act) : sendTo(hl, act));
      for (const [i, expected] of act.to.entries()) {
        const where = `act ${at}, resource ${i}`;
        if (expected === "-") {
          expect(whose[i], where).toBeUndefined();
          continue;
        }
        const source = act.source ?? SOURCE;
        const meant = isNumber(expected)
          ? await known(hl, expected)
          : await hl.findSubject({ source, reference: expected });
        expect(whose[i] && (await areOne(hl, whose[i], meant!)), where).toBe(true);
      }
    }
  }
}

async function released(w: Ward, hl: Ledger, number: Number): Promise<unknown[]> {
  const patient = identifierOf(number);
  const answer = await hl.request(w.b, { patient, purposes: ["TREAT"] });
  return (await opened(answer))
    .map(({ resource }) => resource!["id"] ?? resource!.resourceType)
    .sort();
}

describe("whom a source's resources are about", () => {
  it.each(WHOM)("$name", async ({ acts, asks, open = 0 }) => {
    const w = await ward({ policy: { defaults: [HOUSE] } });
    await run(w, acts);
    // The same by a process that has forgotten its index.
    for (const hl of [w.hl, await w.again({ repair: { index: true } })]) {
      for (const [number, expected] of Object.entries(asks)) {
        expect(await released(w, hl, number as Number), number).toEqual(expected);
      }
      expect(await collect(hl.proposals())).toHaveLength(open);
    }
  });

  it("has at least 60 rows, all named differently", () => {
    expect(WHOM.length).toBeGreaterThanOrEqual(60);
    expect(new Set(WHOM.map(({ name }) => name)).size).toBe(WHOM.length);
  });
});
