import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");

/** Collects garbage now, so that memory in use can be compared in a process that other tests share. */
export const collectGarbage = runInNewContext("gc") as () => void;
