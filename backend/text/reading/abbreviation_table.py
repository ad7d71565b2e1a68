"""Words whose full stop ends no sentence, by language; lower case, without the full stop. Data."""

from __future__ import annotations

# Before a name or a number: never at the end of a sentence.
TITLES = {
    "ar": "د أ م ص ج هـ ق.م",
    "bg": "д-р проф инж г-н г-жа ул бул св",
    "bn": "ডা ড ডঃ মি মিসেস মো শ্রী অধ্যা",
    "ca": "sr sra dr dra prof st núm pàg av",
    "cs": "p pí dr mudr judr ing mgr bc prof doc sv č tzv ul",
    "cy": "dr mr mrs yr athro",
    "da": "hr fr dr prof nr kl ca bl ing",
    "de": """dr prof hr fr nr bzw ca ggf evtl inkl zzgl vgl sog bspw str st ing dipl geb kap abb max
    min""",
    "el": "κ κα κος δρ καθ αγ αρ σελ λεωφ οδ",
    "es": "sr sra srta sres dr dra d dña prof lic ing ud uds núm pág av avda sto sta",
    "et": "dr prof hr pr nr lk tn",
    "fa": "دکتر م ه ش ق",
    "fi": "tri prof hra rva nro s klo os",
    "fr": "m mm mme mmes mlle mlles dr pr me prof st ste av bd n° p art chap",
    "gu": "ડૉ શ્રી પ્રો",
    "he": "ד\"ר פרופ' גב' מר",
    "hi": "डॉ डा श्री पं प्रो सुश्री कु रु मि",
    "hr": "dr prof gosp gđa ing sv ul br str",
    "hu": "dr prof ifj id özv st ún kb",
    "id": "dr drs ir prof h hj no jl bpk",
    "is": "hr fr dr próf nr kl sr",
    "it": "sig sigg sig.ra dott dott.ssa prof prof.ssa ing avv arch on geom rag s pag n art",
    "kn": "ಡಾ ಶ್ರೀ ಪ್ರೊ",
    "lb": "dr prof här nr",
    "lv": "dr prof kgs kdze nr lpp",
    "mk": "д-р проф инж г г-ѓа ул",
    "ml": "ഡോ ശ്രീ പ്രൊഫ",
    "mr": "डॉ श्री प्रा सौ कु रु",
    "ms": "dr prof tn pn en no jln",
    "ne": "डा डॉ श्री प्रा रु",
    "nl": "dhr mevr mw dr prof drs ir ing mr nr blz ca bijv",
    "no": "hr fr dr prof nr kl ca st",
    "pa": "ਡਾ ਸ਼੍ਰੀ ਪ੍ਰੋ",
    "pl": "dr prof mgr inż hab ks św ul al nr str gen płk",
    "pt": "sr sra srs dr dra prof profa eng d dª av r nº pág",
    "ro": "dl dna dra d-na d-ra dr prof ing st str nr bd",
    "ru": "гр г-н г-жа проф акад им ул пр д кв стр рис табл см тел",
    "sk": "p dr mudr judr ing mgr bc prof doc sv č tzv ul",
    "sl": "g ga dr prof inž sv ul št str",
    "sq": "z znj dr prof nr",
    "sr": "г гђа др проф инж св ул бр стр g dr prof",
    "sv": "hr fr dr prof nr kl ca s st",
    "sw": "dkt bw bi prof mh mhe",
    "ta": "திரு திருமதி டாக்டர் டாக் முனைவர் பேரா செல்வி எண்",
    "te": "డా శ్రీ ప్రొ",
    "tr": "dr prof doç av müh sn bkz no cad sok mah",
    "uk": "п пп д-р проф акад ім вул просп буд кв стор рис див тел",
    "vi": "ts ths gs pgs bs ks tp q p",
}
# Before a small letter or a number; a sentence may end behind them. "*": of all languages.
ABBREVIATIONS = {
    "*": "kg km cm mm ml min sek etc no nr vol max ca",
    "cs": "např atd apod aj tj cca resp tel r hod",
    "da": "f.eks bl.a osv dvs evt tlf kr mio mia fx",
    "de": "usw z.b d.h u.a etc mio mrd tel jh std abs",
    "el": "π.χ κ.λπ κλπ δηλ χλμ τηλ",
    "es": "etc ej p.ej ee.uu tel cap vol",
    "fi": "esim ym jne ts mm eli n ks puh milj",
    "fr": "etc cf env éd tél ex vol",
    "hr": "npr itd tj tzv god tel",
    "hu": "pl stb ill ún kb vö tel db",
    "it": "ecc es cfr pag tel ca",
    "nl": "enz bijv d.w.z o.a m.a.w i.p.v t.a.v tel jl",
    "no": "f.eks bl.a osv dvs evt tlf kr mill",
    "pl": "np itd itp tzn tj m.in ok tel godz r zł mln tys",
    "pt": "etc ex p.ex tel cap vol",
    "ro": "ex etc ș.a tel pag",
    "ru": "т.д т.п т.е др руб коп тыс млн млрд кг км м см мин сек ч напр д п е",
    "sk": "napr atď apod tj cca resp tel r hod",
    "sl": "npr itd tj oz tel",
    "sr": "нпр итд тј год тел npr itd",
    "sv": "t.ex bl.a osv dvs ev tel kr milj mm",
    "tr": "vb vs örn tel yy s",
    "uk": "т.д т.п т.ін грн коп тис млн млрд кг км м см хв напр",
    "vi": "v.v vv tel",
}
# Numbers with a full stop are ordinals: "3. Oktober", "3. maja".
ORDINAL_LANGUAGES = (
    *("cs", "da", "de", "et", "eu", "fi", "hr", "hu", "is", "lb", "lv"),
    *("no", "pl", "sk", "sl", "sq", "sr", "tr"),
)
# Before an ordinal whose noun has a capital.
DETERMINERS = {
    "de": """der die das dem den des am im vom zum zur beim ein eine einen einem einer eines jeder
    jede jedes jeden jedem ab seit bis sein seine ihr ihre mein meine unser unsere dieser diese
    dieses diesem diesen""",
    "lb": "den de der dem am vum zum an op en eng",
}
# What goes on behind any mark: Khmer "etc.".
GOING_ON = {"km": "ល។ ។ល។"}
# What goes on behind a quotation.
SAYING = {
    "ja": "と って など の を は が に も で 、 という",
    "ko": "하고 라고 이라고 라며 라는 이라는 고 며 는 라면서 하며 하는 란",
}
