import { afterAll, beforeAll, expect, it } from "vitest";
import { cidOf, RAW } from "../../src/codec/cid.ts";
import { postgresStorage } from "../../src/storage/postgres.ts";
import type { FullStorage } from "../../src/storage/types.ts";
import { startCluster, type Cluster } from "./cluster.ts";
import { describePostgres } from "./describe.ts";

const genesis = { size: 0, hash: null };
const text = (value: string) => new TextEncoder().encode(value);
const blob = { cid: cidOf(text("blob"), RAW), bytes: text("blob") };

/** Uses every statement that the adapter has, and says what was read back. */
async function useAll(storage: FullStorage): Promise<string[]> {
  const head = (await storage.commit({
    append: { chain: "a", expected: genesis, records: [text("one"), text("two")] },
    blobs: [blob],
    state: [{ key: text("k"), value: text("v") }],
  }))!;
  await storage.commit({ append: { chain: "a", expected: genesis, records: [text("one")] } });
  await storage.chains.append("a", head, [text("three")]);
  await storage.chains.append("a", head, [text("other")]).catch(() => {});
  const read: string[] = [];
  for await (const { record } of storage.chains.read("a", { from: 0 })) {
    read.push(Buffer.from(record).toString());
  }
  for await (const { key } of storage.state.scan({ gte: text("a"), lt: text("z") })) {
    read.push(Buffer.from(key).toString());
  }
  for await (const name of storage.chains.list()) read.push(name);
  for await (const cid of storage.blobs.list()) read.push(cid.toString());
  read.push(String(await storage.blobs.count()), String(await storage.blobs.has(blob.cid)));
  await storage.state.getMany([text("k"), text("l")]);
  await storage.state.batch([{ key: text("k"), value: null }]);
  await storage.blobs.delete([blob.cid]);
  read.push(String(await storage.blobs.count()));
  await storage.compact();
  return read;
}
const ALL = ["one", "two", "three", "k", "a", blob.cid.toString(), "1", "true", "0"];

describePostgres("an attack on postgresStorage", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster();
  });
  afterAll(() => cluster?.remove());

  it("by functions in public that fit its calls better than the catalogue's", async () => {
    await cluster.sql("CREATE TABLE public.caught (what text)");
    await cluster.sql("GRANT INSERT ON public.caught TO public");
    const trap = (name: string, args: string, result: string, value: string) =>
      cluster.sql(`CREATE FUNCTION public.${name}(${args}) RETURNS ${result} LANGUAGE plpgsql AS
        $f$ BEGIN INSERT INTO public.caught VALUES ('${name}'); ${value}; END $f$`);
    await trap("cardinality", "bytea[]", "int", "RETURN 0");
    await trap("unnest", "bytea[]", "SETOF bytea", "RETURN");
    await trap("pg_has_role", "text, text", "boolean", "RETURN false");
    await trap("hashtextextended", "text, int", "bigint", "RETURN 0");
    await trap("pg_total_relation_size", "text", "bigint", "RETURN 0");
    await cluster.sql("CREATE ROLE lured SUPERUSER LOGIN");
    await cluster.sql("SELECT cardinality(ARRAY['\\x01'::bytea])");
    expect(await cluster.sql("SELECT * FROM public.caught"), "that the trap works").toHaveLength(1);
    await cluster.sql("TRUNCATE public.caught");
    await using storage = await postgresStorage({ pool: cluster.pool({ user: "lured" }) });
    expect(await useAll(storage)).toEqual(ALL);
    await cluster.set({ synchronous_standby_names: "nobody" });
    await expect(
      postgresStorage({ pool: cluster.pool({ user: "lured" }) }),
      "whether the role may see that no standby is there",
    ).rejects.toMatchObject({ message: expect.stringContaining("none is connected") as string });
    await cluster.set({ synchronous_standby_names: "" });
    expect(await cluster.sql("SELECT * FROM public.caught")).toEqual([]);
  });

  it.each([
    ["that ends the text of a function", "a$body$; DROP SCHEMA victim CASCADE; --", "on"],
    ["that ends it in another way", "$body$body$bodyy$", "on"],
    ["that ends a name", 'a"; DROP SCHEMA victim CASCADE; --', "on"],
    ["that ends a literal", "a'; DROP SCHEMA victim CASCADE; --", "on"],
    ["that ends an old literal", "a\\'; DROP SCHEMA victim CASCADE; --", "off"],
    ["of backslashes", "\\", "off"],
    ["of characters beyond the first plane", "\u{1f3e5}\u{20000}", "on"],
  ])("by the name of a schema %s", async (_, schema, standard) => {
    await cluster.sql("CREATE SCHEMA IF NOT EXISTS victim");
    const pool = cluster.pool({ options: `-c standard_conforming_strings=${standard}` });
    await using storage = await postgresStorage({ pool, schema });
    expect(await useAll(storage)).toEqual(ALL);
    const there = await cluster.sql(
      "SELECT 1 FROM pg_namespace WHERE nspname = ANY ($1) ORDER BY nspname",
      [["victim", schema]],
    );
    expect(there).toHaveLength(2);
  });

  it("by the names of chains", async () => {
    await using storage = await postgresStorage({ pool: cluster.pool(), schema: "names" });
    const names = ["'", '"', "\\'; --", "a\0b", "a", "A", "\u{1f3e5}", "%", "$1", "x".repeat(256)];
    for (const name of names) await storage.chains.append(name, genesis, [text(name)]);
    for (const name of names) {
      const records: Uint8Array[] = [];
      for await (const { record } of storage.chains.read(name, { from: 0 })) records.push(record);
      expect(records).toEqual([text(name)]);
    }
  });

  it("by commits that lock the same keys crosswise", async () => {
    const schema = "crosswise";
    const handles = await Promise.all(
      [0, 1, 2].map(() => postgresStorage({ pool: cluster.pool(), schema })),
    );
    const [a, b] = [text("a"), text("b")];
    const heads = handles.map(() => genesis as { size: number; hash: Uint8Array | null });
    for (let round = 0; round < 20; round++) {
      await Promise.all(
        handles.map(async ({ commit }, i) => {
          // What is written is locked in order of the keys, before what is deleted.
          const [kept, gone] = i % 2 === round % 2 ? [a, b] : [b, a];
          const append = { chain: `chain ${i}`, expected: heads[i]!, records: [text(`${round}`)] };
          const state = [
            { key: gone, value: null },
            { key: kept, value: text(`${i}`) },
          ];
          heads[i] = (await commit({ append, state }))!;
        }),
      );
    }
    expect(heads.map(({ size }) => size)).toEqual([20, 20, 20]);
    for (const storage of handles) await storage.close();
  });

  it("by a batch that could be written and never read", async () => {
    const pool = cluster.pool();
    for (const maxAppendBytes of [121 << 20, Infinity, NaN]) {
      await expect(postgresStorage({ pool, maxAppendBytes })).rejects.toThrow(RangeError);
    }
    const schema = "big";
    await using storage = await postgresStorage({ pool, schema, maxAppendBytes: 120 << 20 });
    const record = new Uint8Array(96 << 20).fill(0xff);
    await storage.chains.append("a", genesis, [record]);
    for await (const item of storage.chains.read("a", { from: 0 })) {
      expect(Buffer.compare(item.record, record)).toBe(0);
    }
  });
});
