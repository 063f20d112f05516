import { afterEach, describe, expect, it } from "vitest";
import { askingHospitals, fill, TREAT } from "../support/asking.ts";
import { observation } from "../support/hospital.ts";
import { texts } from "../support/ward.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).toReversed()) await close();
});

const NUMBER_77 = { system: "urn:oid:9.9.9", value: "patient-77" };

describe("two hospitals that agreed on an alias", () => {
  it("ask each other by it, and what passes between them does not show it", async () => {
    const two = await askingHospitals(closing);
    const { home, away, toHome, toAway } = two;
    await two.permit();
    await fill(two, 1);
    const alias = await home.alias(two.me, { with: away.member });
    const theirs = await away.ensureSubject(NUMBER_77);
    await away.acceptAlias(theirs, alias, { with: home.member });

    const what = { ...TREAT, patient: alias };
    const answer = await away.ask(home.member, what, { peer: toHome });
    expect(await texts(answer)).toEqual([observation("bp-0")]);
    // The other way it names the person whom the other hospital knows, whose consent is not there.
    const before = await away.audit(theirs)[Symbol.asyncIterator]().next();
    expect(before.done).toBe(true);
    expect(await home.ask(away.member, what, { peer: toAway })).toMatchObject({ count: 0 });
    const access = await away.audit(theirs)[Symbol.asyncIterator]().next();
    expect(access.value).toMatchObject({ requester: home.member });

    const passed = [...toHome.proxy.asks, ...toHome.proxy.answers, ...toAway.proxy.asks];
    for (const bytes of passed) {
      const all = Buffer.from(bytes);
      expect(all.toString("latin1")).not.toContain(alias.value);
      expect(all.toString("hex")).not.toContain(alias.value);
      expect(all.toString("latin1")).not.toContain(alias.system);
    }
  });
});
