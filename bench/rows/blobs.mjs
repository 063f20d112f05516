// @ts-check
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import { MRN, openHospitals } from "../lib/hospitals.mjs";
import { costs, noteCosts, peakMemory } from "../lib/measure.mjs";

const MEGA = 2 ** 20;
/** A block of ciphertext. */
const BLOCK = 15 * (65_536 + 16);

/** An attachment of so many MiB, a piece at a time. @param {number} mega */
async function* study(mega) {
  for (let i = 0; i < mega; i++) yield new Uint8Array(randomBytes(MEGA));
}

/** The attachment of an answer's record. @param {import("../../src/index.ts").Answer} answer */
async function attachmentOf(answer) {
  for await (const { attachments } of answer.items()) {
    if (attachments[0] !== undefined) return attachments[0];
  }
  throw new Error("not what was asked for");
}

/** Serves so many bytes, which are in memory, as they are taken. @param {number} bytes */
async function serveBare(bytes) {
  const block = randomBytes(BLOCK);
  const server = createServer(async (_, outgoing) => {
    for (let left = bytes; left > 0; left -= BLOCK) {
      if (!outgoing.write(block.subarray(0, left))) await once(outgoing, "drain");
    }
    outgoing.end();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return { url: `http://127.0.0.1:${port}`, close: () => server.close() };
}

/** @type {import("../run.mjs").Row[]} */
export const rows = [
  {
    name: "blobs/256m",
    unit: "MiB/s",
    async run({ folder, rounds, short, note }) {
      const mega = short ? 8 : 256;
      const { north, south, patient, close } = await openHospitals(folder);
      const resource = { resourceType: "Observation", id: "scan", status: "final" };
      const code = { coding: [{ system: "http://loinc.org", code: "18748-4" }] };
      const attachments = [{ mediaType: "application/dicom", source: study(mega) }];
      await north.record(patient, { ...resource, code }, { attachments });
      const answer = await south.ask(north.member, { patient: MRN, purposes: ["TREAT"] });
      const scan = await attachmentOf(answer);
      const bare = await serveBare(mega * MEGA);
      const memory = peakMemory();
      const measured = await costs(
        [
          {
            name: "ours",
            async round() {
              let [bytes, pieces] = [0, 0];
              for await (const piece of scan.stream()) {
                bytes += piece.length;
                if (++pieces % 16 === 0) memory.look();
              }
              if (bytes !== mega * MEGA) throw new Error("not all of it");
              return mega;
            },
          },
          {
            name: "floor",
            async round() {
              const response = await fetch(bare.url);
              const hash = createHash("sha256");
              for await (const part of response.body ?? []) hash.update(part);
              hash.digest();
              return mega;
            },
          },
        ],
        { rounds: Math.min(rounds, 3) },
      );
      await close();
      bare.close();
      noteCosts(measured, note);
      note(`${measured.less("floor", "ours", "total").toFixed(2)} × floor by CPU time`);
      note(`of both members together: ${memory.text()}`);
      return {
        value: /** @type {number} */ (measured.rates["ours"]),
        floor: /** @type {number} */ (measured.rates["floor"]),
      };
    },
  },
];
