import { TOKEN_ELEMENTS } from "./data/fhir-elements.ts";
import { PEOPLE_AND_PLACES } from "./label-references.ts";

const list = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/));

/** Parts of the names and addresses of people and places. */
const NAMES = list("family given prefix suffix line city district state postalCode country");

/** Elements whose strings are assigned numbers, or names that FHIR defines. */
const NUMBERS = list(`accountNumber deviceIdentifier distinctIdentifier lotNumber modelNumber
  preAuthRef referenceNumber serialNumber state status subscriberId system type value`);

/** Elements with a name or an address in them, which have a `text` of their own. */
const NAMED = list("name address valueHumanName valueAddress");
const NAME_OR_ADDRESS = /(?:name|address)$/i;
const TELECOM = list("telecom valueContactPoint");

/** A FHIR date, dateTime, instant or time. */
const TIME =
  /^(?:\d{4}(?:-\d{2}(?:-\d{2}(?:T\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:\d{2})?)?)?)?|\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?)$/;

/** A version: a number and what follows it, or the URL of an edition. */
const VERSION = /^(?:v?\d|https?:\/\/)\S{0,255}$/i;

/** A telephone number; other contact addresses are one word. */
const TELEPHONE = /^[\d\s()+\-./x]{1,40}$/;

const UNITS =
  list(`% /min beats bpm breaths cells cm copies d day days degF Cel dL fL g h hour hours IU
  IntlUnit kg kIU km kPa L lb lbs lx m mcg mEq mg min minute minutes mIU mL mm mmHg mmol mo month months
  mOsm ms ng nm nmol pg pmol s sec second seconds score U ug uIU uL umol week weeks wk year years yr a
  in inch ft oz C F K Hg m2 m3 tablet tablets tab tabs tbl capsule capsules cap caps count ratio times
  av i us arb iU mIU kU ml dl ul l mcL cfu inr index log titer nominal T pH pack packs drop drops
  drp puff puffs spray unit units dose doses each ea kat nkat ukat eq fmol J kJ cal kcal W Hz kHz dB Pa
  hPa bar mbar Gy mGy cGy Sv mSv Bq kBq MBq V mV rad deg diop dyn N sr cd lm lx A mA Ohm mOhm MoM DDD
  rpm dpi pixel pixels`);

const isDigit = (unit: number): boolean => unit >= 0x30 && unit <= 0x39;

/**
 * Whether a string in an element without codes says nothing beyond the element's name.
 *
 * @param type - of the resource
 */
export function isPlain(element: string, text: string, parent: string, type: string): boolean {
  // Times begin with a digit; most texts do not, and are not worth the expression.
  if (isDigit(text.charCodeAt(0)) && TIME.test(text)) return true;
  if (element === "id") return /^[A-Za-z0-9\-._]{1,64}$/.test(text);
  if (element === "version" && VERSION.test(text)) return true;
  // The names of people and places are not judged.
  if (NAMES.has(element)) return NAME_OR_ADDRESS.test(parent);
  if (element === "text" && NAMED.has(parent)) return true;
  if ((element === "name" || element === "alias") && PEOPLE_AND_PLACES.has(type)) return true;
  if (element === "value" && TELECOM.has(parent)) return true;
  // The class of a coverage may be the name of a programme.
  if (element === "value" && parent === "class") return TELEPHONE.test(text);
  if (element === "unit") return isUnit(text);
  if (element === "value" && TELEPHONE.test(text)) return true;
  return (TOKEN_ELEMENTS.has(element) || NUMBERS.has(element)) && /^\S{1,256}$/.test(text);
}

/** Whether a text consists of names of units only. */
export function isUnit(text: string): boolean {
  if (text.length > 40) return false;
  if (units.has(text)) return true;
  const words = text.split(/[\s/.,*^()[\]{}_'"#\d-]+/).filter((word) => word !== "");
  const isKnown = words.every((word) => UNITS.has(word) || UNITS.has(word.toLowerCase()));
  if (isKnown && units.size < MOST_UNITS) units.add(text);
  return isKnown;
}

/** Texts that consist of units: resources repeat the same few. */
const units = /* @__PURE__ */ new Set<string>();
const MOST_UNITS = 1024;
