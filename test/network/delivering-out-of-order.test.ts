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
