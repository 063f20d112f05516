export { es256Verifier } from "../crypto/es256-verifier.ts";
