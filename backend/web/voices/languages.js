// Names of languages and of voices, for lists of many.

/** The language of a tag without its region: `pt` of `pt-BR`. */
export function primary(tag) {
  return tag.split(/[-_]/)[0].toLowerCase();
}

/** The name of a tag's language in that language, as a heading: "Deutsch". */
export function ownName(tag) {
  const name = display(primary(tag), "language", primary(tag));
  const [first = ""] = name; // a whole code point
  return first.toLocaleUpperCase(primary(tag)) + name.slice(first.length);
}

/** The same in English. */
export function englishName(tag) {
  return display(primary(tag), "language", "en");
}

/** The name of a tag's region in English: "Brazil"; "" without one. */
export function regionName(tag) {
  const region = tag.split(/[-_]/)[1]?.toUpperCase() ?? "";
  return /^([A-Z]{2}|\d{3})$/.test(region) ? display(region, "region", "en") : "";
}

function display(code, type, language) {
  try {
    return new Intl.DisplayNames([language, "en"], { type }).of(code) ?? code;
  } catch {
    return code; // not a tag of this kind
  }
}

/** A voice's name as people would say it: "Kareem" of `ar_JO-kareem-medium`. */
export function spokenName(name) {
  const file = /^[a-z]{2,3}_[A-Za-z0-9]+-(.+)-(?:x_low|low|medium|high)(?:#(.+))?$/.exec(name);
  const own = file ? [file[1], file[2]].filter(Boolean).join(", ").replaceAll("_", " ") : name;
  return own.charAt(0).toUpperCase() + own.slice(1);
}

/** The voices by language: those of the user's languages first, then by name. */
export function groupByLanguage(voices, preferred = navigator.languages) {
  const groups = grouped(voices);
  const wanted = [...new Set([...preferred].map(primary))];
  const rank = (language) => (wanted.indexOf(language) + 1 || wanted.length + 1);
  return [...groups]
    .map(([language, spoken]) => ({ language, name: ownName(language), voices: spoken }))
    .sort((a, b) => rank(a.language) - rank(b.language) || a.name.localeCompare(b.name));
}

function grouped(voices) {
  const groups = new Map();
  for (const voice of voices) {
    const language = primary(voice.language);
    groups.set(language, [...(groups.get(language) ?? []), voice]);
  }
  return groups;
}
