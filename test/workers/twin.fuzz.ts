import { expect, it } from "vitest";
import { readBundle, type BundleReading } from "../../src/fhir/bundle.ts";
import { effort } from "../support/effort.ts";
import { drawFrom, exampleResources, mutateJson } from "../support/mutate-json.ts";
import { expectTwin } from "./twin.ts";

const SEED = 77;
const TIMES = effort("HEALTHLEDGER_TWIN_BUNDLES", { full: 1500, short: 60 });
const TYPES = ["collection", "transaction", "document", "message", "history", "searchset"];

function readingOf(bundle: object): BundleReading | undefined {
  try {
    return readBundle(JSON.stringify(bundle));
  } catch {
    return undefined;
  }
}

it(`describes random bundles alike here and on another thread, ${TIMES} times`, async () => {
  const resources = exampleResources().filter((one) => JSON.stringify(one).length < 20_000);
  const values = resources.slice(0, 50).flatMap((one) => Object.values(one));
  const draw = drawFrom(SEED);
  let [bundles, refused] = [0, 0];
  for (let time = 0; time < TIMES; time++) {
    const entry = Array.from({ length: 1 + draw(12) }, (_, i) => {
      const resource = mutateJson(resources[draw(resources.length)]!, draw, [
        ...values,
        ...["\0", "x".repeat(100_000), { reference: "Thing/1" }, JSON.parse('{"__proto__":1}')],
        { security: [{ system: "urn:unknown", code: "x" }, {}] },
      ]);
      return {
        ...(draw(2) === 0 && { fullUrl: `https://ehr.example/fhir/Thing/${i}` }),
        ...(draw(3) === 0 && { request: { method: "PUT", url: `Thing/${draw(9)}` } }),
        // What no manifest may say.
        resource: draw(20) === 0 ? { ...resource, id: "\0" } : resource,
      };
    });
    const meta = draw(4) === 0 && { meta: { security: values[draw(values.length)] } };
    const type = TYPES[draw(TYPES.length)];
    const reading = readingOf({ resourceType: "Bundle", type, ...meta, entry });
    if (reading === undefined) continue;
    bundles++;
    refused += await expectTwin(reading, draw(4) === 0);
  }
  expect(bundles).toBeGreaterThan(TIMES / 2);
  expect(refused).toBeGreaterThan(TIMES / 20);
});
