"""Words in capitals: which are words, which are said, which are spelled. Data."""

from __future__ import annotations

from backend.text.reading.english.word_sets import word_set

SHORT_WORDS = word_set(
    """ah am an as at be by do ex go ha he hi if in is it me my no of oh on or ow so to uh um
    up us we ya ye yo act add ads age ago aid aim air ale all and ant any ape app apt arc
    are arm art ash ask ate awe axe bad bag ban bar bat bay bed bee beg bet bid big bin bit
    bob bow box boy bro bud bug bun bus but buy bye can cap car cat cop cow cry cub cup cut
    dad dam day den dew did die dig dim din dip dog dot dry dub due dug dye ear eat egg ego
    elf end era eve eye fan far fat fax fed fee few fig fin fit fix flu fly fog for fox fry
    fun fur gag gap gas gel gem get gin god got gum gun gut guy gym had ham has hat hay hen
    her hey hid him hip his hit hog hop hot how hub hug hum hut ice icy ill ink inn its jam
    jar jaw jet job jog joy jug key kid kin kit lab lad lag lap law lay led leg let lid lie
    lip lit log lot low mad man map mat may men met mix mob mom mop mud mug nap net new nil
    nod nor not now nut oak oar odd off oil old one our out owe owl own pad pal pan pat paw
    pay pea pen pet pie pig pin pit pop pot pub put rag ram ran rap rat raw ray red rib rid
    rim rip rob rod rot row rub rug run rye sad saw say sea see set sew she shy sin sip sir
    sit six ski sky sly sob son soy spa spy sub sue sum sun tab tag tan tap tax tea ten the
    tie tin tip toe ton too top toy try tub two use van vet via vow wag war was wax way web
    wed wet who why wig win wit won wow yak yam yay yep yes yet you zip zoo sat sum god bot
    pac hud rem fud sam tow fob dev mod max min cam sim rom gif lan wan vat pro rep pic
    re ax ox sup abs git pip lib con vim hue tar gig gen rev mid del alt ref
    amy ann bob dan ed eva hal ian ivy jim joe kay ken kim lee leo liz meg ned pam pat ray
    rob ron roy sue tim tom ben bill
    acts adds alms alps angst ankh ants arch arms arts asks ebbs eggs elks elms ends errs etch
    hmm hmmm inch inks irks itch odds owls pfft psst shh"""
)
"""Words of two and three letters, other capitals of that length are spelled; and longer ones that
do not look as if they could be said.
"""

SAID = {
    "JSON": "Jason",
    "YAML": "yammel",
    "TOML": "tommel",
    "JPEG": "jay peg",
    "JPG": "jay peg",
    "MPEG": "em peg",
    "SQL": "sequel",
    "NASA": "Nasa",
    "NATO": "Nato",
    "OK": "okay",
    "ASCII": "askey",
    "GUI": "gooey",
    "WYSIWYG": "whizzy wig",
    "SCSI": "scuzzy",
    "NVIDIA": "en vidia",
    "CRISPR": "crisper",
    "IKEA": "eye kee ah",
    "UEFA": "you ay fa",
    "EULA": "you la",
    "IEEE": "I triple E",
    "NAACP": "N double A C P",
    "NCAA": "N C double A",
    "AAA": "triple A",
    "AKA": "also known as",
    "BTW": "by the way",
    "BBQ": "barbecue",
    "FIFO": "fyfo",
    "LIFO": "lyfo",
    "FTSE": "footsie",
    "HVAC": "H vac",
    "NICU": "nick you",
    "NSAID": "en said",
    "PETA": "peeta",
    "PFAS": "P fass",
    "QWERTY": "qwerty",
    "WWI": "World War one",
    "WWII": "World War two",
    "CMOS": "see moss",
    "BIOS": "bye oss",
    "DOS": "doss",
    "CAPTCHA": "captcha",
    "CUDA": "kooda",
    "GNU": "gnoo",
    "ISO": "I S O",
    "VRAM": "V ram",
    "DRAM": "D ram",
    "SRAM": "S ram",
    "EPROM": "E prom",
    "OLED": "O led",
    "IMAX": "eye max",
    "TLDR": "T L D R",
    "LOL": "lol",
    "LMAO": "L M A O",
    "TED": "Ted",
    "NASDAQ": "nazdack",
    "FEMA": "feema",
    "HIPAA": "hippa",
    "IMAP": "eye map",
    "LLAMA": "llama",
    "MIDI": "middy",
    "USAID": "U S aid",
    "NOAA": "Noah",
    "EEPROM": "E E prom",
    "OAUTH": "O auth",
    "DDOS": "D doss",
    "CTRL": "control",
    "ESC": "escape",
}
"""Said as given. Other capitals of four letters and more are said if they can be pronounced."""

SPELLED = word_set(
    """ASAP UCLA ESPN ISBN USSR LGBT LGBTQ HDMI HTML HTTP HTTPS YMCA USDA USAF USPS IMDB UCSD
    AEST HEIC ICAO ICYMI IMEI IYKYK USAA
    USAC USMLE UNSC AARP AAPL ACLU ADHD AFAIK AIIB ALS API APIS ATM AWS BMI BYOB CEO CIA COO DHL DIY
    DNA DOI DOJ DUI EMEA EOD ERP ESG ETA ETF EU EUR EV FAQ FAQS FDA FIR FOIA FOV GDPR HBO
    HIIT HIV HR HVAC IBM ICU ID IDE IDK IMHO IMO IOT IP IPA IPO IQ IRA IRC IRL IRS ISIN ISP
    ITV IUD IV IVF KGB LOA MIA MOU MRI NBA NDA NHS NIH NSA OCD OCR ODI OEM OMG OS OSX OTC
    PTO QA RIP ROI RSVP SEO SSO SUV TBA TIL TNA UAE UI UFO UNHCR URI URL USA USB USC USD UX
    VFX VIP WHO AUD AED CAD USMC USMCA UAW UAV ABC AAPI AOL AOC IIRC IAEA IATSE ICBM IDF IED
    IFC IMF IOC IPCC IOU OECD OAS OAU EEOC EIB EEA ECB EASA ECG EEG EKG EPA ESA ESL SOS"""
)
"""Letter by letter, though they could be pronounced."""

DOUBTFUL = word_set("AD AM IT LED SAT US WHO")
"""Both words and letters: their neighbours decide."""

MIXED = {
    "iOS": "I O S",
    "CoV": "co V",
    "iPadOS": "I pad O S",
    "macOS": "mac O S",
    "watchOS": "watch O S",
    "tvOS": "T V O S",
    "eBay": "E bay",
    "LaTeX": "lay tek",
    "TeX": "tek",
    "SaaS": "sass",
    "PaaS": "pass",
    "IaaS": "I A A S",
    "VoIP": "voyp",
    "LLaMA": "llama",
    "MySQL": "my sequel",
    "NoSQL": "no sequel",
    "SQLite": "sequel light",
    "PostgreSQL": "postgres",
    "pH": "P H",
    "GHz": "gigahertz",
    "MHz": "megahertz",
    "kHz": "kilohertz",
    "kWh": "kilowatt hours",
    "dB": "decibels",
    "XeTeX": "zee tek",
    "QEMU": "Q emu",
    "WiFi": "Wi-Fi",
    "OAuth": "O auth",
    "iCloud": "I cloud",
    "AirPods": "air pods",
    "DoS": "doss",
    "DDoS": "D doss",
    "PhDs": "P H D's",
    "MoMA": "moma",
    "WebP": "web P",
    "XBox": "X box",
}
