import { describeVectors } from "../support/vectors.ts";
import { pqCases, rfc9180Cases, xWingCases } from "./hpke-cases.ts";

describeVectors("HPKE of RFC 9180 on node:crypto", "hpke/rfc9180", rfc9180Cases);
describeVectors("HPKE of draft-ietf-hpke-pq on node:crypto", "hpke/pq", pqCases);
describeVectors("X-Wing on node:crypto", "hpke/x-wing", xWingCases);
