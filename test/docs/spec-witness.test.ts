import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { noteKey, NOTE_ED25519 } from "../../src/chain/note-key.ts";
import { createWitness } from "../../src/chain/witness.ts";
import { memorySigner } from "../../src/identity/signer.ts";
import { witnessHandler } from "../../src/network/witness-handler.ts";
import { memoryStorage } from "../../src/storage/memory.ts";

const page = readFileSync(new URL("../../docs/spec/witness.md", import.meta.url), "utf8");
const [request, answer] = [...page.matchAll(/```text\n([^`]*)```/g)].map(([, block]) => block!);

describe("docs/spec/witness.md", () => {
  it("shows a request and the answer of the witness", async () => {
    const log = memorySigner({ alg: "Ed25519", secret: new Uint8Array(32).fill(1) });
    const signer = memorySigner({ alg: "Ed25519", secret: new Uint8Array(32).fill(2) });
    const origin = "ledger.example/hospital-a";
    const witness = createWitness({
      ...{ chains: memoryStorage().chains, signer, name: "witness.example/w1", origin },
      keys: [noteKey(origin, NOTE_ED25519, log.publicKey)],
      now: () => 1_735_689_600_000,
    });
    const handler = witnessHandler({ witnesses: [witness] });
    const asked = { method: "POST", body: request! };
    const response = await handler(new Request("http://w.example/add-checkpoint", asked));
    expect(response.status).toBe(200);
    expect(await response.text()).toBe(answer);
  });
});
