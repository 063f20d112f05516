import { chainBases } from "./mutants/chains.ts";
import { allMutants, describeMutants } from "./mutants/suite.ts";

describeMutants(allMutants, chainBases);
