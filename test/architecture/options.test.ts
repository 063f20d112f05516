import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { LedgerError } from "../../src/errors.ts";
import { bytesFor } from "../support/ledger.ts";
import { observation } from "../support/hospital.ts";
import { ward } from "../support/ward.ts";

// A misspelt option counts as left out, and its default applies. So every public call refuses one.

/** Functions that take a record of fields which callers share between several calls. */
const SHARED_FIELDS: ReadonlySet<string> = new Set([
  ...["checkRead", "checkScan", "copyScan", "possessionInput"],
]);
/** Functions of which every field is required: a misspelt one is missing. */
const ALL_REQUIRED: ReadonlySet<string> = new Set([
  ...["makeGrant", "makeGrants", "openGrant", "verifyGrant", "sealMembership", "verifyHeader"],
  ...["verifyFields", "verifyMembership"],
  ...["proveFields", "unwrapFromCollection"],
]);

/** The source of each import path. */
const entryPoints: readonly (readonly [path: string, file: string])[] = Object.entries(
  (
    JSON.parse(readFileSync("package.json", "utf8")) as {
      exports: Record<string, string | { types: string }>;
    }
  ).exports,
).flatMap(([subpath, target]) =>
  typeof target === "string"
    ? []
    : [
        [
          subpath.replace(/^\./, "healthledger"),
          target.types.replace(/^\.\/dist\//, "src/").replace(/\.d\.ts$/, ".ts"),
        ] as const,
      ],
);

const program = ts.createProgram(
  entryPoints.map(([, file]) => file),
  {
    ...{ target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.NodeNext, strict: true },
    ...{ moduleResolution: ts.ModuleResolutionKind.NodeNext, allowImportingTsExtensions: true },
    ...{ noEmit: true, customConditions: ["healthledger-source"], types: ["node"] },
  },
);
const checker = program.getTypeChecker();

/** Whether a parameter is an object of options, by its name or the name of its type. */
function isOptions(parameter: ts.Symbol): boolean {
  const type = checker.getNonNullableType(checker.getTypeOfSymbol(parameter));
  if (type.getCallSignatures().length > 0) return false;
  const name = type.aliasSymbol?.name ?? type.symbol?.name ?? "";
  return /Options$|^__type$/.test(name) || ["options", "question", "time"].includes(parameter.name);
}

/** Each public function with options, and the place of these among its arguments. */
function functionsWithOptions(): [path: string, file: string, name: string, at: number][] {
  const seen = new Set<ts.Symbol>();
  return entryPoints.flatMap(([path, file]) => {
    const module = checker.getSymbolAtLocation(program.getSourceFile(resolve(file))!)!;
    return checker.getExportsOfModule(module).flatMap((exported) => {
      const isAlias = (exported.flags & ts.SymbolFlags.Alias) !== 0;
      const symbol = isAlias ? checker.getAliasedSymbol(exported) : exported;
      if ((symbol.flags & ts.SymbolFlags.Function) === 0 || seen.has(symbol)) return [];
      seen.add(symbol);
      const [signature] = checker.getTypeOfSymbol(symbol).getCallSignatures();
      const at = signature!.parameters.findIndex(isOptions);
      const isLeftOut = SHARED_FIELDS.has(exported.name) || ALL_REQUIRED.has(exported.name);
      if (at < 0 || isLeftOut) return [];
      return [[path, file, exported.name, at] as [string, string, string, number]];
    });
  });
}

const refusal = async (call: () => unknown): Promise<unknown> => {
  try {
    const made = (await call()) as AsyncIterator<unknown> | undefined;
    return await made?.next?.();
  } catch (error) {
    return error;
  }
};

describe("an option that a function does not have", () => {
  const found = functionsWithOptions();

  it("is looked for in the whole surface", () => {
    expect(found.length).toBeGreaterThan(50);
  });

  it.each(found)("is refused by %s: %s %s", async (_, file, name, at) => {
    const module = (await import(resolve(file))) as Record<
      string,
      (...given: unknown[]) => unknown
    >;
    const given = [...Array.from({ length: at }, () => undefined), { nonsense: 1 }];
    const error = await refusal(() => module[name]!(...given));
    expect((error as Error).message).toMatch(/has no (option )?"?nonsense/);
    const isTyped = error instanceof TypeError || error instanceof LedgerError;
    expect(isTyped && (error as LedgerError).code).toBe(
      error instanceof TypeError ? undefined : "ERR_INPUT_INVALID",
    );
  });
});

describe("an option that a call of a ledger does not have", () => {
  const nonsense: object = { nonsense: 1 };

  it("is refused before anything is written", async () => {
    const w = await ward();
    await w.permit();
    const { id, entry } = await w.hl.record(w.me, observation("bp"));
    const text = observation("bp-2");
    const asked = { patient: { system: "a", value: "b" }, purposes: ["TREAT"] };
    const request = { requester: w.hl.member, purposes: ["TREAT"] };
    const witness = { user: "clerk-7", form: "paper", takenAt: 1 } as const;
    const alias = { system: "urn:healthledger:alias", value: "0".repeat(32) };
    const calls: Readonly<Record<string, readonly (() => unknown)[]>> = {
      merge: [() => w.hl.merge(w.me, w.me, { reason: "x", ...nonsense })],
      unmerge: [() => w.hl.unmerge(entry, { reason: "x", ...nonsense })],
      dismissProposal: [() => w.hl.dismissProposal(entry, { reason: "x", ...nonsense })],
      alias: [() => w.hl.alias(w.me, { with: w.b.signer.actor, ...nonsense })],
      acceptAlias: [() => w.hl.acceptAlias(w.me, alias, { with: w.b.signer.actor, ...nonsense })],
      withdrawAlias: [() => w.hl.withdrawAlias(alias, { with: w.b.signer.actor, ...nonsense })],
      findSubject: [
        () => w.hl.findSubject({ source: "s", reference: "Patient/1", ...nonsense } as never),
      ],
      record: [() => w.hl.record(w.me, text, nonsense)],
      amend: [() => w.hl.amend(id, text, { amends: id } as never)],
      recordBundle: [() => w.hl.recordBundle(w.me, "{}", nonsense)],
      recordNdjson: [() => w.hl.recordNdjson([] as never, { source: "s", ...nonsense })],
      relabelStale: [() => w.hl.relabelStale(nonsense)],
      unassigned: [() => w.hl.unassigned(nonsense)],
      records: [() => w.hl.records(w.me, nonsense)],
      consent: [
        () => w.hl.consent(w.me, {} as never, { grantor: w.patient } as never),
        () => w.hl.consent(w.me, {} as never, { witness: { ...witness, ...nonsense } }),
      ],
      decide: [
        () => w.hl.decide(w.me, { ...request, ...nonsense }),
        () => w.hl.decide(w.me, { ...request, query: { type: ["Condition"] } as never }),
        () => w.hl.decide(w.me, request, nonsense),
      ],
      ask: [
        () => w.hl.ask(w.hl.member, { ...asked, ...nonsense }),
        () => w.hl.ask(w.hl.member, { ...asked, query: nonsense }),
        () => w.hl.ask(w.hl.member, asked, nonsense),
      ],
      pull: [() => w.hl.pull(w.hl.member, nonsense)],
      deliver: [() => w.hl.deliver(entry, { to: [], ...nonsense })],
      deliverPending: [() => w.hl.deliverPending(nonsense)],
      answerAsk: [() => w.hl.answerAsk(new Uint8Array(0), nonsense)],
      request: [
        () => w.hl.request(w.b, { ...asked, ...nonsense }),
        () => w.hl.request(w.b, { ...asked, query: nonsense }),
        () => w.hl.request(w.b, { ...asked, declaration: nonsense as never }),
      ],
      exportRecords: [() => w.hl.exportRecords(w.b, { ...asked, compres: true } as never)],
      audit: [() => w.hl.audit(w.me, nonsense)],
      erase: [() => w.hl.erase(w.me, { reason: "x", all: true, ...nonsense })],
      receipt: [() => w.hl.receipt(entry, nonsense)],
      verify: [() => w.hl.verify(nonsense)],
      verifyBlobs: [() => w.hl.verifyBlobs(nonsense)],
      follow: [() => w.hl.follow(nonsense)],
      giveUp: [() => w.hl.giveUp([entry], nonsense as never)],
    };
    const { size } = w.hl.chain;
    for (const [name, attempts] of Object.entries(calls)) {
      for (const [i, attempt] of attempts.entries()) {
        expect(await refusal(attempt), `${name} ${i}`).toMatchObject({ code: "ERR_INPUT_INVALID" });
      }
    }
    expect(w.hl.chain.size).toBe(size);
    expect((await w.hl.records(w.me)).length).toBe(1);
    const ledger = checker.getExportsOfModule(
      checker.getSymbolAtLocation(program.getSourceFile(resolve("src/ledger/ledger.ts"))!)!,
    );
    const declared = checker
      .getDeclaredTypeOfSymbol(ledger.find(({ name }) => name === "Ledger")!)
      .getProperties()
      .filter((call) =>
        checker
          .getTypeOfSymbol(call)
          .getCallSignatures()
          .some(({ parameters }) => parameters.some(isOptions)),
      )
      .map(({ name }) => name);
    expect(declared.filter((name) => !Object.hasOwn(calls, name))).toEqual([]);
  });

  it("is refused where it is not one of the object's own", async () => {
    const w = await ward();
    const options = Object.create({ fields: true }) as never;
    await expect(w.hl.record(w.me, observation("bp"), options)).rejects.toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
    expect(await refusal(() => w.hl.records(w.me, bytesFor("x") as never))).toMatchObject({
      code: "ERR_INPUT_INVALID",
    });
  });
});
