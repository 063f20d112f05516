// Every bit, each through verification from genesis: minutes, so beside the fuzzing.
process.env["HEALTHLEDGER_TAMPER"] = "all";
await import("./tamper.test.ts");
