import { expect, it } from "vitest";
import { backend } from "#crypto";
import { describeStreams } from "./stream-cases.ts";

it("runs on node:crypto", () => {
  expect(backend).toBe("node");
});

describeStreams("chacha", { flat: true });
describeStreams("aes-gcm", { flat: false });
