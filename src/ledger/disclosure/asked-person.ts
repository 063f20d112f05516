import type { LedgerContext } from "../context.ts";
import type { Catalogue } from "../entries/catalogue.ts";
import type { Subject, Subjects } from "../entries/subjects.ts";
import { findByAlias, isAlias } from "../persons/aliases.ts";
import type { RequestToJudge } from "./check-request.ts";

/** The person whom a request is about; `undefined` if nobody is known by what it says. */
export async function findAsked(
  context: Pick<LedgerContext, "vault"> & {
    readonly catalogue: Catalogue;
    readonly subjects: Pick<Subjects, "find">;
  },
  { request, sealed }: Pick<RequestToJudge, "request" | "sealed">,
): Promise<Subject | undefined> {
  return isAlias(sealed.patient)
    ? findByAlias(context, sealed.patient, request.requester)
    : context.subjects.find(sealed.patient);
}
