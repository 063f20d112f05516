import { describe, expect, it } from "vitest";
import { runKit } from "../../src/testing/kit.ts";
import { transportControls } from "../../src/testing/transport-controls.ts";
import { directTransport, transportCases } from "../../src/testing/transport-kit.ts";

describe("the transport kit", () => {
  it.each(transportCases.map(({ name, run }) => [name, run] as const))("httpPeer: %s", (_, run) =>
    run(directTransport),
  );

  it.concurrent.each(transportControls.map(({ name, ...rest }) => [name, rest] as const))(
    "notices a transport that %s",
    async (_, { make, fails }) => {
      const wanted = transportCases.filter(({ name }) => name.includes(fails));
      expect(wanted).toHaveLength(1);
      const results = await runKit(wanted, make, { features: ["session"], timeout: 8000 });
      expect(results[0]!.outcome).toBe("failed");
    },
    20_000,
  );
});
