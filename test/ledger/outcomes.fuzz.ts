// Three faults in turn too: half a minute, so beside the fuzzing.
process.env["HEALTHLEDGER_FAULTS"] = "all";
await import("./outcomes.test.ts");
