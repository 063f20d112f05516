import type { Hierarchy } from "../hierarchy.ts";

/** HL7 v3 ActCode 9.0.0 below RefrainPolicy (HL7 Terminology, CC0): code, display, parents. */
export const REFRAINS: Hierarchy = {
  RefrainPolicy: ["refrain policy", "SecurityPolicy"],
  ORCON: ["no disclosure without originator authorization", "RefrainPolicy"],
  NOVIP: ["no unauthorized VIP disclosure", "RefrainPolicy"],
  NOREUSE: ["no reuse beyond purpose of use", "RefrainPolicy"],
  NORELINK: ["no relinking", "RefrainPolicy"],
  NORDSCLW: ["no disclosure without jurisdictional authorization", "RefrainPolicy"],
  NORDSCLCDS: ["no redisclosure without information subject's consent directive", "RefrainPolicy"],
  NORDSLCD: ["no redisclosure without consent directive", "RefrainPolicy"],
  NORDSCLCD: ["no redisclosure without consent directive", "RefrainPolicy"],
  NOPERSISTP: ["no collection beyond purpose of use", "RefrainPolicy"],
  NOPAT: [
    "no disclosure to patient, family or caregivers without attending provider's authorization",
    "RefrainPolicy",
  ],
  NOORGPOL: ["no disclosure without organizational authorization", "RefrainPolicy"],
  NOMOU: ["no disclosure without MOU", "RefrainPolicy"],
  NOLIST: ["no unlisted entity disclosure", "RefrainPolicy"],
  NOINTEGRATE: ["no integration", "RefrainPolicy"],
  NODSCLCDS: ["no disclosure without information subject's consent directive", "RefrainPolicy"],
  NODSCLCD: ["no disclosure without consent directive", "RefrainPolicy"],
  NOCOLLECT: ["no collection", "RefrainPolicy"],
  NOAUTH: ["no disclosure without subject authorization", "RefrainPolicy"],
};
