import { createHmac } from "node:crypto";
import { cp, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hkdfExpand } from "#crypto";
import { afterEach, describe, expect, it } from "vitest";
import type { RecordId } from "../../../src/codec/ids.ts";
import { bytesToUtf8, utf8ToBytes } from "../../../src/bytes/utf8.ts";
import { decode, encode } from "../../../src/codec/dag-cbor.ts";
import { cidOf, DAG_CBOR, type CID } from "../../../src/codec/cid.ts";
import { StorageError } from "../../../src/errors.ts";
import { fileShardKeys } from "../../../src/identity/file-shards.ts";
import { memoryShardKeys, type ShardKeys } from "../../../src/identity/shard-keys.ts";
import type { Ledger } from "../../../src/ledger/ledger.ts";
import { gateCommits } from "../../../src/ledger/vault/commit-gate.ts";
import { openShards } from "../../../src/ledger/vault/shards.ts";
import { openVault } from "../../../src/ledger/vault/vault.ts";
import { lmdbStorage } from "../../../src/storage/lmdb.ts";
import { memoryStorage } from "../../../src/storage/memory.ts";
import type { StorageAdapter } from "../../../src/storage/types.ts";
import { seeded } from "../../envelope/parties.ts";
import { foundWorld, MRN, observation } from "../../support/hospital.ts";
import { keysIn, tryOpen, valuesOf } from "../../support/vault-copy.ts";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
});
async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "healthledger-shards-"));
  folders.push(folder);
  return folder;
}

const readText = async (hl: Ledger, id: RecordId): Promise<string> =>
  hl.read(id).then(bytesToUtf8, (error) => error.code as string);

describe("a ledger with shard keys", () => {
  it("opens nothing that was erased from a copy of the files made before, but the rest", async () => {
    const folder = await newFolder();
    const [path, copy] = [join(folder, "store"), join(folder, "copy")];
    const storage = await lmdbStorage({ path });
    const world = await foundWorld(storage);
    const shardKeys = await fileShardKeys(join(folder, "shards"));
    const random = seeded("shards");
    const hl = await world.open({ shardKeys, random });
    const me = await hl.ensureSubject(MRN);
    const gone = await hl.record(me, observation("bp-gone"));
    const kept = await hl.record(me, observation("bp-kept"));
    const { envelope } = (await hl.records(me)).find(({ record }) => record === gone.id)!.head;
    await hl.close();
    await storage.close();
    await cp(path, copy, { recursive: true });
    const before = await readFile(join(folder, "shards"));

    const again = await lmdbStorage({ path });
    const hl2 = await world.open({ storage: again, shardKeys, random: seeded("later") });
    await hl2.erase(me, { records: [gone.id], reason: "withdrawn" });
    expect(await readText(hl2, gone.id)).toBe("ERR_RECORD_ERASED");
    expect(await readText(hl2, kept.id)).toBe(observation("bp-kept"));
    await hl2.close();
    const after = await readFile(join(folder, "shards"));
    // The file holds no old key, and nothing of it is left beside it.
    expect((decode(after) as { former: unknown[] }).former).toEqual([]);
    expect((await readdir(folder)).sort()).toEqual(["copy", "shards", "shards.lock", "store"]);

    // All that the custodian still has: his agreement key and the shard keys of today.
    const old = await lmdbStorage({ path: copy });
    const values = await valuesOf(old);
    const rootEntry = values.find(({ key }) => key[key.length - 1] === 0 && key.length === 23)!;
    const stored = decode(rootEntry.value) as { key: Uint8Array; message: Uint8Array };
    const aad = encode(["healthledger/vault/1", hl.id, hl.member]);
    const root = await world.hospitalA.agreement(stored.key).unwrap(stored.message, aad);
    const nameKey = hkdfExpand(root, utf8ToBytes("healthledger/vault/1 names"), 32);
    const unsharded = hkdfExpand(root, utf8ToBytes("healthledger/vault/1 values"), 32);
    const cekName = tagName(nameKey, ["cek", envelope.bytes]);
    const attempt = (keys: readonly Uint8Array[]): (Uint8Array | undefined)[] =>
      values.flatMap(({ key, value }) => {
        if (key[22] !== 1) return [];
        const name = key.slice(23);
        for (const one of keys) {
          const opened = tryOpen(one, name, value);
          if (opened !== undefined) return [opened];
        }
        return [undefined];
      });
    const named = values.find(({ key }) => Buffer.from(key.subarray(23)).equals(cekName))!;
    const open = (secret: Uint8Array): Uint8Array | undefined => {
      for (const key of [...keysIn(secret, root), unsharded]) {
        const value = tryOpen(key, cekName, named.value);
        if (value !== undefined) return value;
      }
      return undefined;
    };
    const cek = open(before)!;
    expect(cek).toHaveLength(32);
    expect(open(after)).toBeUndefined();
    const today = attempt([...keysIn(after, root), unsharded]);
    expect(today.some((value) => value === undefined)).toBe(true);
    for (const value of today) {
      expect(value !== undefined && Buffer.from(value).includes(Buffer.from(cek))).toBe(false);
      expect(value !== undefined && Buffer.from(value).includes("bp-gone")).toBe(false);
    }

    // And through the library: the copy's history is good, what was erased is not there.
    const hl3 = await world.open({ storage: old, shardKeys, repair: { index: true } });
    // Of what does not open nobody can say whom it is about, until it is said to be erased here too.
    expect(await readText(hl3, kept.id)).toBe("ERR_STORAGE_CORRUPT");
    const lost = await hl3.lost();
    expect(lost.map(({ id }) => id)).toEqual([gone.id]);
    await hl3.giveUp(
      lost.map(({ id }) => id),
      { reason: "erased after this backup" },
    );
    expect(await readText(hl3, kept.id)).toBe(observation("bp-kept"));
    expect(await readText(hl3, gone.id)).toMatch(/ERR_(STORAGE_MISSING|RECORD_ERASED)/);
    expect(await hl3.verify()).toMatchObject({ ok: true });
    await hl3.close();
    await old.close();
    await again.close();
    await shardKeys.close();
  });

  it("leaves no byte of key, grant or ciphertext in any file after compaction", async () => {
    const folder = await newFolder();
    const path = join(folder, "store");
    const storage = await lmdbStorage({ path });
    const world = await foundWorld(storage);
    const shardKeys = await fileShardKeys(join(folder, "shards"));
    const hl = await world.open({ shardKeys });
    const me = await hl.ensureSubject(MRN);
    const gone = await hl.record(me, observation("bp-gone"));
    await hl.record(me, observation("bp-kept"));
    const { envelope } = (await hl.records(me)).find(({ record }) => record === gone.id)!.head;
    const header = (await storage.blobs!.get(envelope))!;
    const signed = decode(header) as { header: Uint8Array; sig: Uint8Array };
    const { parts } = decode(signed.header) as {
      parts: { commit: Uint8Array; data: CID[] }[];
    };
    const blocks = await Promise.all(
      parts.flatMap(({ data }) => data).map((cid) => storage.blobs!.get(cid)),
    );
    const sealedBefore = await valuesOf(storage);
    const secretBefore = (decode((await shardKeys.load())!) as { keys: Uint8Array }).keys;
    await hl.erase(me, { records: [gone.id], reason: "withdrawn" });
    const living = new Set((await valuesOf(storage)).map(({ value }) => hex(value)));
    const dead = sealedBefore.filter(({ value }) => !living.has(hex(value)));
    expect(dead.length).toBeGreaterThan(1);
    await hl.close();
    await storage.close();
    await shardKeys.close();

    const files: Buffer[] = [];
    for (const file of await readdir(folder, { recursive: true })) {
      const at = join(folder, file);
      if ((await stat(at)).isFile()) files.push(await readFile(at));
    }
    const present = (bytes: Uint8Array): boolean =>
      files.some((file) => file.includes(Buffer.from(bytes)));
    const after = (decode(await readFile(join(folder, "shards"))) as { keys: Uint8Array }).keys;
    const replaced = Array.from({ length: 4096 }, (_, i) => i).filter(
      (i) =>
        hex(after.subarray(32 * i, 32 * i + 32)) !==
        hex(secretBefore.subarray(32 * i, 32 * i + 32)),
    );
    expect(replaced.length).toBeGreaterThan(0);
    expect(replaced.length).toBeLessThan(16);
    for (const i of replaced) {
      expect(present(secretBefore.subarray(32 * i, 32 * i + 32))).toBe(false);
    }
    const { salt } = decode(signed.header) as { salt: Uint8Array };
    const secrets = [
      salt,
      signed.sig,
      ...parts.flatMap(({ commit, data }) => [commit, ...data.map((cid) => cid.multihash.digest)]),
      ...blocks.map((block) => block!),
    ];
    for (const bytes of secrets) {
      for (let at = 0; at + 16 <= bytes.length; at += 16) {
        expect(present(bytes.subarray(at, at + 16))).toBe(false);
      }
    }
    for (const { value } of dead) {
      expect(present(value)).toBe(false);
      expect(present(value.subarray(12, 28))).toBe(false);
    }
  });

  it("brings an older vault under shard keys, and cannot do without them afterwards", async () => {
    const world = await foundWorld();
    const before = await world.open();
    const me = await before.ensureSubject(MRN);
    const version = await before.record(me, observation("bp-1"));
    await before.close();
    const shardKeys = memoryShardKeys();
    const hl = await world.open({ shardKeys });
    expect(await readText(hl, version.id)).toBe(observation("bp-1"));
    await hl.close();
    const missing = expect.objectContaining({ code: "ERR_STORAGE_MISSING" });
    await expect(world.open()).rejects.toThrow(missing);
    await expect(world.open({ shardKeys: memoryShardKeys() })).rejects.toThrow(missing);
    const other = await foundWorld(memoryStorage());
    await expect(other.open({ shardKeys, keys: world.hospitalB })).rejects.toThrow(missing);
    const secret = (await shardKeys.load())!;
    const damaged = { load: async () => secret.slice(5), replace: shardKeys.replace };
    await expect(world.open({ shardKeys: damaged })).rejects.toThrow(
      expect.objectContaining({ code: "ERR_STORAGE_CORRUPT" }),
    );
    const back = await world.open({ shardKeys });
    expect(await readText(back, version.id)).toBe(observation("bp-1"));
  });

  it("loses nothing that is recorded while keys are replaced", async () => {
    const world = await foundWorld();
    const shardKeys = memoryShardKeys();
    const slow: ShardKeys = {
      load: shardKeys.load,
      async replace(secret) {
        await new Promise((resolve) => setTimeout(resolve, 2));
        await shardKeys.replace(secret);
        await new Promise((resolve) => setTimeout(resolve, 2));
      },
    };
    const hl = await world.open({ shardKeys: slow });
    const me = await hl.ensureSubject(MRN);
    const doomed = [];
    for (let i = 0; i < 12; i++) doomed.push(await hl.record(me, observation(`gone-${i}`)));
    const recording = Array.from({ length: 60 }, async (_, i) => {
      await new Promise((resolve) => setTimeout(resolve, i));
      return hl.record(me, observation(`kept-${i}`));
    });
    for (const { id } of doomed) await hl.erase(me, { records: [id], reason: "withdrawn" });
    const kept = await Promise.all(recording);
    await hl.close();
    const again = await world.open({ shardKeys: slow });
    for (const [i, { id }] of kept.entries()) {
      expect(await readText(again, id)).toBe(observation(`kept-${i}`));
    }
    for (const { id } of doomed) expect(await readText(again, id)).toBe("ERR_RECORD_ERASED");
  });

  it("completes what fails at any step, and the old keys are gone then", async () => {
    for (let failing = 0; failing < 12; failing++) {
      const world = await foundWorld();
      const held = memoryShardKeys();
      const everHeld: Uint8Array[] = [];
      let steps = Infinity;
      const step = (): void => {
        if (steps-- <= 0) throw new StorageError("ERR_STORAGE_FAILED", "planted");
      };
      const shardKeys: ShardKeys = {
        load: held.load,
        async replace(secret) {
          step();
          await held.replace(secret);
          everHeld.push(secret.slice());
          step();
        },
      };
      const inner = world.storage as Required<StorageAdapter>;
      const batch: typeof inner.state.batch = async (changes, options) => {
        step();
        await inner.state.batch(changes, options);
      };
      const storage = { ...inner, state: { ...inner.state, batch } } as StorageAdapter;
      const hl = await world.open({ storage, shardKeys });
      const me = await hl.ensureSubject(MRN);
      const gone = await hl.record(me, observation("bp-gone"));
      const kept = await hl.record(me, observation("bp-kept"));
      await hl.records(me);
      const copy = await valuesOf(world.storage);
      const before = everHeld.at(-1)!;
      steps = failing;
      const outcome = await hl.erase(me, { records: [gone.id], reason: "withdrawn" }).then(
        () => "done",
        (error) => error.code,
      );
      steps = Infinity;
      // The process ends here, as if it had been killed.
      const again = await world.open({ shardKeys: held });
      const text = await readText(again, gone.id);
      if (text !== "ERR_RECORD_ERASED") {
        // It failed before the erase entry stood on the ledger.
        expect(outcome).not.toBe("done");
        expect(text).toBe(observation("bp-gone"));
        continue;
      }
      expect(await readText(again, kept.id)).toBe(observation("bp-kept"));
      const secret = decode((await held.load())!) as { keys: Uint8Array; former: unknown[] };
      expect(secret.former).toEqual([]);
      const was = decode(before) as { keys: Uint8Array };
      const living = new Set((await valuesOf(world.storage)).map(({ key }) => hex(key)));
      for (const { key } of copy) {
        if (living.has(hex(key)) || key[22] !== 1) continue;
        const shard = (key[23]! << 4) | (key[24]! >> 4);
        const at = [32 * shard, 32 * shard + 32] as const;
        expect(hex(secret.keys.subarray(...at))).not.toBe(hex(was.keys.subarray(...at)));
      }
    }
  });
});

describe("a change that waits to be committed while keys are replaced", () => {
  it("is sealed under the new key when it is, in a commit or a batch", async () => {
    const inner = memoryStorage();
    const gate = gateCommits(inner);
    const world = await foundWorld();
    const vault = await openVault({
      hasFiled: async () => false,
      storage: gate.storage,
      keys: world.hospitalA,
      ledger: cidOf(encode({}), DAG_CBOR),
      actor: world.hospitalA.signer().actor,
      random: seeded("waiting"),
      shards: { keys: memoryShardKeys(), gate },
    });
    const name = vault.name("late");
    const beside = name.slice();
    beside[31]! ^= 1;
    await gate.storage.state.batch([vault.put(beside, utf8ToBytes("erased"))]);
    const [late, later] = [
      vault.put(name, utf8ToBytes("kept")),
      vault.put(name, utf8ToBytes("too")),
    ];
    const gone = [vault.remove(beside)];
    await gate.storage.state.batch([...gone, ...vault.markForRotation(gone)]);
    await vault.rotateKeys();
    await gate.storage.state.batch([late]);
    expect(await vault.get(name).then((value) => bytesToUtf8(value!))).toBe("kept");
    await gate.storage.commit({ state: [later] });
    expect(await vault.get(name).then((value) => bytesToUtf8(value!))).toBe("too");
    expect(await vault.get(beside)).toBeUndefined();
  });
});

describe("openShards", () => {
  it("keeps the key that values stand under, though it is asked twice to replace it", async () => {
    const random = seeded("twice");
    const [root, owner] = [random(32), random(16)];
    const keys = memoryShardKeys();
    const shards = await openShards({ keys, root, owner, random, id: undefined });
    const [first, other] = [shards.current(7), shards.current(8)];
    await shards.replaceKeys([7]);
    const second = shards.current(7);
    // What is left of the shard may stand under the first key still, and be sealed anew already.
    await shards.replaceKeys([7, 8]);
    expect([shards.former(7), shards.current(7)]).toEqual([first, second]);
    expect([shards.former(8), shards.renewing()]).toEqual([other, [7, 8]]);
    const again = await openShards({ keys, root, owner, random, id: shards.id });
    expect([again.former(7), again.current(7)]).toEqual([first, second]);
    await again.drop();
    expect([again.former(7), again.renewing(), again.current(7)]).toEqual([undefined, [], second]);
  });
});

describe("fileShardKeys", () => {
  it("is held by one process, and taken over from one that is gone", async () => {
    const path = join(await newFolder(), "shards");
    const first = await fileShardKeys(path);
    expect(await first.load()).toBeUndefined();
    await first.replace(utf8ToBytes("one"));
    await first.replace(utf8ToBytes("another"));
    expect(bytesToUtf8((await first.load())!)).toBe("another");
    const failed = expect.objectContaining({ code: "ERR_STORAGE_FAILED" });
    await expect(fileShardKeys(path)).rejects.toThrow(failed);
    await first.close();
    await expect(first.load()).rejects.toMatchObject({ code: "ERR_STORAGE_CLOSED" });
    const { writeFile } = await import("node:fs/promises");
    const { hostname } = await import("node:os");
    // No process has this number.
    await writeFile(`${path}.lock`, `4194999 ${hostname()} 00\n`);
    await using second = await fileShardKeys(path);
    expect(bytesToUtf8((await second.load())!)).toBe("another");
    expect((await stat(path)).mode & 0o077).toBe(0);
    await rm(`${path}.lock`);
    await expect(second.replace(utf8ToBytes("x"))).rejects.toThrow(failed);
    await expect(fileShardKeys(join(path, "below"))).rejects.toThrow(failed);
  });
});

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

function tagName(nameKey: Uint8Array, parts: readonly unknown[]): Buffer {
  return createHmac("sha256", nameKey)
    .update(encode(parts as never))
    .digest();
}
