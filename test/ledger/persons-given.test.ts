import { describe, expect, it } from "vitest";
import { foundWorld, MRN, observation } from "../support/hospital.ts";

describe("what names a person", () => {
  it.each([
    ["an identifier", MRN],
    ["nothing", undefined],
    ["null", null],
    ["a local id in text", { local: "00" }],
  ])("is not %s: each call says so", async (_, given) => {
    const w = await foundWorld();
    const hl = await w.open();
    const person = await hl.ensureSubject(MRN);
    const { id } = await hl.record(person, observation("bp-1"));
    const at = given as never;
    const calls: [string, () => Promise<unknown>][] = [
      ["record", () => hl.record(at, observation("bp-2"))],
      ["records", () => hl.records(at)],
      ["consent", () => hl.consent(at, {} as never, {} as never)],
      ["attest", () => hl.attest(at, {} as never)],
      ["receive", () => hl.receive(at, {} as never)],
      ["held", () => hl.held(at)],
      ["directives", () => hl.directives(at)],
      ["decide", () => hl.decide(at, { requester: "x", purposes: ["TREAT"] } as never)],
      ["erase", () => hl.erase(at, { everything: true } as never)],
      ["placeHold", () => hl.placeHold(at, "case 1")],
      ["liftHold", () => hl.liftHold(at)],
      ["identify", () => hl.identify(at, [MRN])],
      ["alias", () => hl.alias(at, { with: "x" })],
      ["acceptAlias", () => hl.acceptAlias(at, MRN, { with: "x" })],
      ["merge", () => hl.merge(at, person, { reason: "same" })],
      ["merge", () => hl.merge(person, at, { reason: "same" })],
      ["reattribute", () => hl.reattribute(id, at, "moved")],
      ["assign", () => hl.assign({ source: "ehr", type: "Patient", id: "1" }, at)],
    ];
    for (const [name, call] of calls) {
      // It lists what is about nobody known.
      if (name === "held" && given === null) continue;
      await expect(call(), name).rejects.toMatchObject({
        code: "ERR_INPUT_INVALID",
        message: `${name} takes a person as ensureSubject gives them, not an identifier`,
      });
    }
    const audit = async (): Promise<void> => {
      for await (const access of hl.audit(at)) expect(access).toBeUndefined();
    };
    if (given !== null) await expect(audit()).rejects.toMatchObject({ code: "ERR_INPUT_INVALID" });
    expect(await hl.records(person)).toHaveLength(1);
    await hl.close();
  });
});
