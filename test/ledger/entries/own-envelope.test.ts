import { expect, it } from "vitest";
import { cidOf, DAG_CBOR, RAW } from "../../../src/codec/cid.ts";
import { decodeSignedHeader, signHeader } from "../../../src/envelope/header.ts";
import type { LedgerContext } from "../../../src/ledger/context.ts";
import { openOwn } from "../../../src/ledger/entries/own-envelope.ts";
import { context, hospital, ledger, seal } from "../../envelope/parties.ts";

it("a record of 256 MiB is looked for, however large its padding makes it", async () => {
  const MIB = 2 ** 20;
  const { header: small, cek } = await seal([{ id: "content", bytes: new Uint8Array(1) }]);
  const { header } = decodeSignedHeader(small);
  // Worked out by Padmé: 2^28 has exponent 28, so 256 MiB and its length are padded to 264 MiB.
  const size = 264 * MIB;
  const block = cidOf(new Uint8Array(1), RAW);
  const data = Array.from({ length: Math.ceil(size / (15 * 65_536)) }, () => block);
  const bytes = await signHeader(
    { ...header, parts: [{ ...header.parts[0]!, size, data }] },
    hospital,
  );
  const envelope = cidOf(bytes, DAG_CBOR);
  const own = {
    signer: hospital,
    vault: { name: () => new Uint8Array(32), get: async () => cek.slice() },
    storage: { blobs: { get: async (cid: unknown) => (envelope.equals(cid) ? bytes : undefined) } },
    chain: {
      ledger,
      state: {
        load: async () => undefined,
        key: () => ({ ...hospital, use: "sign", from: 0, until: null }),
      },
    },
  } as unknown as LedgerContext;
  const what = { kind: context.kind, envelope, height: 1, parts: ["content"] };
  await expect(openOwn(own, what)).rejects.toMatchObject({ code: "ERR_ENVELOPE_MISSING" });
});
