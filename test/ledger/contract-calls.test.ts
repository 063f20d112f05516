import { afterEach, describe, expect, it } from "vitest";
import type { LedgerError } from "../../src/errors.ts";
import { defineContract } from "../../src/contract/define-contract.ts";
import { codeOf as contentOf, counter } from "../support/contracts.ts";
import { codeOf, twoHospitals, until, type TwoHospitals } from "../support/elsewhere.ts";
import { MRN, observation } from "../support/hospital.ts";
import { bytesFor } from "../support/ledger.ts";

const versions = [{ name: "counter", rule: counter.rule, from: 0 }];
const withCounter = { contracts: [counter] };

describe("calls of a contract by two organisations", () => {
  let two: TwoHospitals | undefined;
  afterEach(async () => {
    await two?.close();
    two = undefined;
  });
  const start = async (home = withCounter) => {
    two = await twoHospitals({ genesis: { contracts: versions }, home });
    return two;
  };

  it("have one order and one result, wherever they are made", async () => {
    const { home, open } = await start();
    const away = await open(withCounter);
    expect(await home.contractValue("counter", "total")).toBeUndefined();
    const first = await home.callContract("counter", "add", { amount: 400 });
    expect(first).toEqual({ id: expect.stringMatching(/^[0-9a-f]{64}$/) as string, height: 0 });
    await away.callContract("counter", "add", { amount: 600 });
    const over = { code: "ERR_CHAIN_REFUSED", refused: { reason: "contract-refused" } };
    for (const ledger of [home, away]) {
      // The contract's own word reaches whoever called, through the outbox as well.
      await expect(ledger.callContract("counter", "add", { amount: 1 })).rejects.toMatchObject({
        ...over,
        refused: { entry: 0, code: "too-much" },
      });
      expect(await ledger.contractValue("counter", "total")).toBe(1000);
    }
    const tag = bytesFor("version 1");
    await away.callContract("counter", "once", { tag });
    await expect(home.callContract("counter", "once", { tag })).rejects.toMatchObject({
      refused: { code: "already-spent" },
    });
    expect(await home.verify()).toMatchObject({ ok: true });
    // They are nobody's records: the index is rebuilt over them, and lacks nothing.
    const me = await away.ensureSubject(MRN);
    const { id } = await away.record(me, observation("bp-1"));
    await away.close();
    const again = await open({ ...withCounter, repair: { index: true } });
    expect(await again.lost()).toEqual([]);
    expect(new TextDecoder().decode(await again.read(id))).toBe(observation("bp-1"));
    expect(await again.outbox()).toEqual([]);
    await again.close();
  });

  it("are refused before anything is sent where they cannot be right", async () => {
    const { home } = await start();
    const size = home.chain.size;
    const call = (name: string, action: string, given: Record<string, unknown>) =>
      codeOf(home.callContract(name, action, given));
    expect(await call("unheard-of", "add", {})).toBe("ERR_INPUT_INVALID");
    expect(await call("counter", "add", { amount: 601 })).toBe("ERR_ENCODING_SHAPE");
    expect(await call("counter", "add", { amount: 0.5 })).toBe("ERR_ENCODING_SHAPE");
    expect(await call("counter", "add", {})).toBe("ERR_ENCODING_SHAPE");
    expect(await codeOf(home.contractValue("counter", "a b"))).toBe("ERR_ENCODING_SHAPE");
    expect(home.chain.size).toBe(size);
    expect(await call("counter", "subtract", {})).toBe("ERR_CHAIN_REFUSED");
  });

  it("stop a member without the code before the block, until it has it, and nothing is lost", async () => {
    const { home, open, faults, source } = await start();
    const { height } = await home.callContract("counter", "add", { amount: 0 });
    await source.look();
    // Nothing is written down before the ledger is known.
    expect(await codeOf(open())).toBe("ERR_CONTRACT_UNAVAILABLE");
    const away = await open(withCounter);
    expect(away.chain.size).toBe(height + 1);
    await away.close();
    const without = await open();
    expect(await codeOf(without.callContract("counter", "add", { amount: 1 }))).toBe(
      "ERR_CONTRACT_UNAVAILABLE",
    );
    await home.callContract("counter", "add", { amount: 400 });
    const known = () => faults.map(({ error }) => (error as LedgerError).code);
    faults.length = 0;
    await until(two!, () => known().includes("ERR_CONTRACT_UNAVAILABLE"));
    expect(without.chain.size).toBe(height + 1);
    await without.close();
    const again = await open(withCounter);
    await again.callContract("counter", "add", { amount: 1 });
    expect(await again.contractValue("counter", "total")).toBe(401);
    await again.close();
  });

  it("may be made by those alone who have a role, from the block after they got it", async () => {
    const { homeKeys, awayKeys } = (two = await twoHospitals());
    await two.close();
    const [payer, other] = [homeKeys.signer().actor, awayKeys.signer().actor];
    const ledgerOf = defineContract({
      ...{ name: "plan", code: contentOf("plan") },
      roles: {
        admin: { holders: [payer], changedBy: null },
        payer: { holders: [payer], changedBy: "admin" },
      },
      actions: {
        pay: {
          ...{ roles: ["payer"], schema: {} },
          reduce: (_, context) => context.set(context.author, [...context.roles]),
        },
      },
    });
    const contracts = [{ name: "plan", rule: ledgerOf.rule, from: 0 }];
    const installed = { contracts: [ledgerOf] };
    two = await twoHospitals({ genesis: { contracts }, home: installed });
    const { home } = two;
    const away = await two.open(installed);
    const denied = { refused: { reason: "contract-refused", code: "not-entitled" } };
    await expect(away.callContract("plan", "pay", {})).rejects.toMatchObject(denied);
    const roles = (ledger: typeof home, role: string, add: string[], remove: string[] = []) =>
      ledger.callContract("plan", "roles", { role, add, remove });
    await expect(roles(away, "payer", [other])).rejects.toMatchObject(denied);
    // Nobody may change who is admin, not even an admin.
    await expect(roles(home, "admin", [other])).rejects.toMatchObject(denied);
    const nothing = { refused: { reason: "contract-refused", code: "no-such-change" } };
    await expect(roles(home, "payer", [payer])).rejects.toMatchObject(nothing);
    await expect(roles(home, "payer", [], [other])).rejects.toMatchObject(nothing);
    await expect(roles(home, "payer", [other], [other])).rejects.toMatchObject(nothing);
    await expect(roles(home, "payer", [])).rejects.toMatchObject(nothing);
    await expect(roles(home, "payee", [other])).rejects.toMatchObject({
      refused: { code: "malformed-call" },
    });
    await roles(home, "payer", [other], [payer]);
    await away.callContract("plan", "pay", {});
    expect(await home.contractValue("plan", other)).toEqual(["member", "payer"]);
    await expect(home.callContract("plan", "pay", {})).rejects.toMatchObject(denied);
    await away.close();
  });
});
