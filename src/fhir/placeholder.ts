/** Values that forms and interfaces write for an unknown number, as letters and digits only. */
const WORDS: ReadonlySet<string> = new Set(
  `absent anonymous anon asku asked declined desconocido dummy empty geen ignoto inconnu
  invalid keine leer masked
  missing msk na nask nav ni nil no noid nomrn none nonumber nossn not notapplicable notasked
  notavailable notgiven notknown notonfile notprovided nvt nul null nulo ohne onbekend pending placeholder refused tba
  tbc tbd temp temporary test unassigned unavailable unbekannt undefined unidentified unk unknown
  unspecified sconosciuto`.split(/\s+/),
);

/**
 * Whether an identifier's value means "not known", and so identifies nobody: `unknown`,
 * `000-00-0000`, `999-99-9999`, `00000`, `XXX-XX-XXXX`, `123-45-6789`, or no letter or digit at all.
 */
export function isPlaceholder(value: string): boolean {
  if (hasLetterAndDigit(value)) return false;
  const bare = value
    .normalize("NFKC")
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]/gu, "");
  if (bare === "" || /^(?:0+|x{2,}|9{4,}|(\d)\1{6,})$/.test(bare)) return true;
  return bare === "123456789" || bare === "078051120" || WORDS.has(bare);
}

/**
 * Whether a text has a letter and a digit of ASCII, as most numbers of patients have. No placeholder
 * has both, whatever else is in it.
 */
function hasLetterAndDigit(text: string): boolean {
  let letter = false;
  let digit = false;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (unit >= 0x30 && unit <= 0x39) digit = true;
    else if ((unit | 0x20) >= 0x61 && (unit | 0x20) <= 0x7a) letter = true;
    if (letter && digit) return true;
  }
  return false;
}
