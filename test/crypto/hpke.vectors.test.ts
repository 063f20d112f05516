import { describeVectors } from "../support/vectors.ts";
import { rfc9180Cases } from "./hpke-cases.ts";

describeVectors("HPKE of RFC 9180 on node:crypto", "hpke/rfc9180", rfc9180Cases);
