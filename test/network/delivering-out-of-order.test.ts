import { afterEach, describe, expect, it } from "vitest";
import type { Directive } from "../../src/consent/model/model.ts";
import { encodeDeliverReply } from "../../src/ledger/disclosure/delivery-format.ts";
import { patient } from "../support/asking.ts";
import {
  attest,
  consentAway,
  delivering,
  lying,
  toHome,
  type Delivering,
} from "../support/delivering.ts";
import { treatmentOnly } from "../support/hospital.ts";
import { signerFor } from "../support/ledger.ts";
import { revoking } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

/** Loses the next messages to the home, and says that they were taken. */
function lose(two: Delivering, count: number): void {
  let lost = count;
  const lie = encodeDeliverReply({ status: "refused" });
  two.wire.ask = (sealed, options) =>
    lost-- > 0 ? lying(two, lie)(sealed) : two.toHome.ask(sealed, options);
}

/** A second permit of the same lineage, wider than the first. */
const WIDE: Partial<Directive> = {
  root: { id: "root", effect: "permit", combine: "deny-overrides", when: {} },
};

const TREATMENT: Directive["root"] = { ...WIDE.root!, when: { purposes: ["TREAT"] } };

/** The patient permits everything at the home. */
const consentHere = (two: Delivering) =>
  two.home.consent(two.me, treatmentOnly(patient, WIDE), { signer: patient });

describe("a delivered withdrawal that comes before what it withdraws", () => {
  it.each(["revoke", "suspend"] as const)("is filed at once, and lasts: %s", async (mode) => {
    const two = await delivering(closing);
    const first = await consentAway(two);

    const gone = await two.away.consent(two.there, revoking(patient, { mode }), {
      signer: patient,
    });
    lose(two, 1);
    expect(await two.away.deliver(gone.id, toHome(two))).toMatchObject([{ status: "filed" }]);
    expect(await two.home.held(two.me)).toEqual([]);
    // By hand, as somebody might who kept it.
    const { signed, salt, id: alias } = first;
    expect(await two.home.receive(two.me, { signed, salt, alias })).toMatchObject({
      status: "filed",
    });
    expect(await two.asked()).toBe("deny 0");
    expect(await two.away.deliverPending()).toMatchObject([
      { consent: first.id, status: "filed" },
      { consent: gone.id, status: "filed" },
    ]);
    expect(await two.asked()).toBe("deny 0");
    // What the patient says next counts again.
    const next = await consentAway(two, { predecessors: [gone.id] });
    expect(await two.away.deliver(next.id, toHome(two))).toMatchObject([{ status: "filed" }]);
    expect(await two.asked()).toBe("permit 1");
  });

  it("ends what the recipient has, though a directive between them never counts there", async () => {
    const two = await delivering(closing);
    const first = await consentAway(two);
    await two.away.deliver(first.id, toHome(two));
    expect(await two.asked()).toBe("permit 1");
    // Only the sender attests this grantor: the recipient holds it for ever.
    const proxy = signerFor("proxy");
    await attest(two.away, two.there, proxy);
    const { id } = await consentAway(two, { predecessors: [first.id], ...WIDE }, proxy);
    const withdrawal = revoking(patient, { predecessors: [id] });
    const gone = await two.away.consent(two.there, withdrawal, { signer: patient });
    expect(await two.away.deliver(gone.id, toHome(two))).toMatchObject([{ status: "filed" }]);
    expect(await two.asked()).toBe("deny 0");
  });
});

/** The first permits treatment and research, and the second, which replaces it, treatment alone or less. */
async function narrowed(two: Delivering, change: Partial<Directive> = {}) {
  const first = await consentAway(two, WIDE);
  const second = await consentAway(two, { predecessors: [first.id], ...change });
  return { first, second };
}

describe("a delivered replacement that waits for what it replaces", () => {
  const RESEARCH = ["HRESCH"];

  it("refuses already, and then counts in full behind it", async () => {
    const two = await delivering(closing);
    await consentHere(two);
    expect(await two.asked(RESEARCH)).toBe("permit 1");
    const { first, second } = await narrowed(two);
    lose(two, 1);
    expect(await two.away.deliver(second.id, toHome(two))).toMatchObject([{ status: "held" }]);
    expect(await two.home.directives(two.me)).toHaveLength(1);
    // It may have ended what is here, and permits nothing itself.
    expect(await two.asked(RESEARCH)).toBe("deny 0");
    expect(await two.asked()).toBe("permit 1");
    const { signed, salt, id: alias } = first;
    await two.home.receive(two.me, { signed, salt, alias });
    expect(await two.asked(RESEARCH)).toBe("deny 0");
    await two.away.deliverPending();
    expect(await two.home.held(two.me)).toEqual([]);
    expect(await two.asked(RESEARCH)).toBe("deny 0");
  });

  it("withholds what is wider, though by default it refuses nothing", async () => {
    const two = await delivering(closing);
    const { first, second } = await narrowed(two, { default: "none", root: TREATMENT });
    lose(two, 1);
    await two.away.deliver(second.id, toHome(two));
    expect(await two.asked()).toBe("deny 0");
    const { signed, salt, id: alias } = first;
    await two.home.receive(two.me, { signed, salt, alias });
    expect(await two.asked(RESEARCH)).toBe("deny 0");
    await two.away.deliverPending();
    expect(await two.asked(RESEARCH)).toBe("deny 0");
    expect(await two.asked()).toBe("permit 1");
  });

  it("is ended by what the patient says there", async () => {
    const two = await delivering(closing);
    const { second } = await narrowed(two, {
      default: "none",
      root: { ...WIDE.root!, effect: "deny" },
    });
    const other = { lineage: "other", ...WIDE };
    await two.home.consent(two.me, treatmentOnly(patient, other), { signer: patient });
    expect(await two.asked()).toBe("permit 1");
    lose(two, 1);
    await two.away.deliver(second.id, toHome(two));
    expect(await two.asked()).toBe("deny 0");
    await two.home.consent(two.me, revoking(patient), { signer: patient });
    expect(await two.asked()).toBe("permit 1");
  });
});

describe("a delivered refusal whose grantor is not attested yet", () => {
  it("says nothing, and refuses from the attestation on", async () => {
    const two = await delivering(closing);
    await consentHere(two);
    const guardian = signerFor("guardian");
    await attest(two.away, two.there, guardian);
    const denial = { lineage: "denial", root: { ...WIDE.root!, effect: "deny" } } as const;
    const { id } = await consentAway(two, denial, guardian);
    expect(await two.away.deliver(id, toHome(two))).toMatchObject([{ status: "held" }]);
    expect(await two.asked()).toBe("permit 1");
    await attest(two.home, two.me, guardian);
    expect(await two.asked()).toBe("deny 0");
    await two.away.deliverPending();
    expect(await two.asked()).toBe("deny 0");
  });

  it("ends no other refusal before it is filed, if it is a withdrawal", async () => {
    const two = await delivering(closing);
    const open = treatmentOnly(patient, { lineage: "open", ...WIDE });
    await two.home.consent(two.me, open, { signer: patient });
    const denial = { root: { ...WIDE.root!, effect: "deny" } } as const;
    await two.home.consent(two.me, treatmentOnly(patient, denial), { signer: patient });
    expect(await two.asked()).toBe("deny 0");
    const guardian = signerFor("guardian");
    await attest(two.away, two.there, guardian);
    const gone = await two.away.consent(two.there, revoking(guardian), { signer: guardian });
    expect(await two.away.deliver(gone.id, toHome(two))).toMatchObject([{ status: "held" }]);
    await attest(two.home, two.me, guardian);
    expect(await two.asked()).toBe("deny 0");
    expect(await two.away.deliverPending()).toMatchObject([{ status: "filed" }]);
    expect(await two.asked()).toBe("permit 1");
  });

  it("withholds what it withdraws, from the attestation on", async () => {
    const two = await delivering(closing);
    await consentHere(two);
    const guardian = signerFor("guardian");
    await attest(two.away, two.there, guardian);
    const gone = await two.away.consent(two.there, revoking(guardian), { signer: guardian });
    await two.away.deliver(gone.id, toHome(two));
    expect(await two.asked()).toBe("permit 1");
    await attest(two.home, two.me, guardian);
    expect(await two.asked()).toBe("deny 0");
  });

  it("refuses nothing that another lineage permits, if it is a withdrawal", async () => {
    const two = await delivering(closing);
    await consentHere(two);
    const other = treatmentOnly(patient, { lineage: "open", ...WIDE });
    await two.home.consent(two.me, other, { signer: patient });
    const guardian = signerFor("guardian");
    await attest(two.away, two.there, guardian);
    const gone = await two.away.consent(two.there, revoking(guardian), { signer: guardian });
    await two.away.deliver(gone.id, toHome(two));
    await attest(two.home, two.me, guardian);
    expect(await two.home.held(two.me)).toHaveLength(1);
    expect(await two.asked()).toBe("permit 1");
    await two.away.deliverPending();
    expect(await two.home.held(two.me)).toEqual([]);
    expect(await two.asked()).toBe("permit 1");
  });

  it("refuses on behind a withdrawal that is held as well", async () => {
    const two = await delivering(closing);
    const open = treatmentOnly(patient, { lineage: "open", ...WIDE });
    await two.home.consent(two.me, open, { signer: patient });
    const guardian = signerFor("guardian");
    await attest(two.away, two.there, guardian);
    const denial = { root: { ...WIDE.root!, effect: "deny" } } as const;
    const { id } = await consentAway(two, denial, guardian);
    const withdrawal = revoking(guardian, { predecessors: [id] });
    const gone = await two.away.consent(two.there, withdrawal, { signer: guardian });
    await two.away.deliver(gone.id, toHome(two));
    expect(await two.home.held(two.me)).toHaveLength(2);
    expect(await two.asked()).toBe("permit 1");
    await attest(two.home, two.me, guardian);
    // The denial may be heard before its withdrawal is.
    expect(await two.asked()).toBe("deny 0");
    await two.away.deliverPending();
    expect(await two.asked()).toBe("permit 1");
  });
});
