// Every bit of a receipt and every byte of an export: half a minute, so beside the fuzzing.
process.env["HEALTHLEDGER_TAMPER"] = "all";
await import("./receipt.test.ts");
