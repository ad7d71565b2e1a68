// What a voice says as its sample, in its own language.

import { primary } from "./languages.js";

const ENGLISH = "Hello. This is how I sound when I read your words aloud.";
const SAMPLES = {
  ar: "مرحبا. هكذا يبدو صوتي عندما أقرأ كلماتك.",
  bg: "Здравейте. Така звуча, когато чета думите ви.",
  bn: "নমস্কার। আপনার কথা পড়লে আমার কণ্ঠ এমন শোনায়।",
  ca: "Hola. Així sono quan llegeixo les teves paraules.",
  cs: "Dobrý den. Takhle zním, když čtu vaše slova.",
  cy: "Helo. Fel hyn rwy'n swnio wrth ddarllen eich geiriau.",
  da: "Hej. Sådan lyder jeg, når jeg læser dine ord op.",
  de: "Hallo. So klinge ich, wenn ich Ihre Worte vorlese.",
  el: "Γεια σας. Έτσι ακούγομαι όταν διαβάζω τα λόγια σας.",
  es: "Hola. Así sueno cuando leo tus palabras.",
  et: "Tere. Nii ma kõlan, kui loen teie sõnu.",
  eu: "Kaixo. Horrela entzuten naiz zure hitzak irakurtzean.",
  fa: "سلام. صدای من هنگام خواندن کلمات شما این‌گونه است.",
  fi: "Hei. Tältä kuulostan, kun luen sanasi ääneen.",
  fr: "Bonjour. Voici ma voix quand je lis vos mots.",
  he: "שלום. כך אני נשמע כשאני קורא את המילים שלך.",
  hi: "नमस्ते। आपके शब्द पढ़ते समय मेरी आवाज़ ऐसी है।",
  hu: "Jó napot! Így szól a hangom, amikor felolvasom a szavait.",
  hy: "Բարև ձեզ։ Այսպես է հնչում իմ ձայնը։",
  id: "Halo. Beginilah suara saya ketika membaca kata-kata Anda.",
  is: "Halló. Svona hljóma ég þegar ég les orðin þín.",
  it: "Ciao. Questa è la mia voce quando leggo le tue parole.",
  ja: "こんにちは。あなたの言葉を読むと、私の声はこう聞こえます。",
  ka: "გამარჯობა. ასე ჟღერს ჩემი ხმა.",
  kk: "Сәлеметсіз бе. Менің дауысым осындай.",
  ko: "안녕하세요. 제가 글을 읽으면 이렇게 들립니다.",
  ku: "Silav. Dengê min wisa ye.",
  lb: "Moien. Sou kléngen ech, wann ech Är Wierder liesen.",
  lv: "Labdien. Tā es skanu, kad lasu jūsu vārdus.",
  ml: "നമസ്കാരം. എന്റെ ശബ്ദം ഇങ്ങനെയാണ്.",
  mr: "नमस्कार. माझा आवाज असा आहे.",
  ne: "नमस्ते। मेरो आवाज यस्तो छ।",
  nl: "Hallo. Zo klink ik wanneer ik uw woorden voorlees.",
  no: "Hei. Slik høres jeg ut når jeg leser ordene dine.",
  pl: "Dzień dobry. Tak brzmię, gdy czytam twoje słowa.",
  pt: "Olá. É assim que eu soo quando leio as suas palavras.",
  ro: "Bună ziua. Așa sun când citesc cuvintele dumneavoastră.",
  ru: "Здравствуйте. Так я звучу, когда читаю ваши слова.",
  sk: "Dobrý deň. Takto zniem, keď čítam vaše slová.",
  sl: "Pozdravljeni. Tako zvenim, ko berem vaše besede.",
  sq: "Përshëndetje. Kështu tingëlloj kur lexoj fjalët tuaja.",
  sr: "Здраво. Овако звучим када читам ваше речи.",
  sv: "Hej. Så här låter jag när jag läser dina ord.",
  sw: "Habari. Hivi ndivyo ninavyosikika ninaposoma maneno yako.",
  te: "నమస్కారం. నా స్వరం ఇలా ఉంటుంది.",
  th: "สวัสดี นี่คือเสียงของฉันเมื่ออ่านข้อความของคุณ",
  tr: "Merhaba. Sözlerinizi okurken sesim böyle.",
  uk: "Вітаю. Так я звучу, коли читаю ваші слова.",
  ur: "السلام علیکم۔ میری آواز ایسی ہے۔",
  vi: "Xin chào. Đây là giọng của tôi khi đọc lời của bạn.",
  zh: "你好。我朗读您的文字时，声音就是这样的。",
};

/** A sentence in this language; English if there is none. */
export function sampleIn(language) {
  return SAMPLES[primary(language)] ?? ENGLISH;
}
