"""Names and careless spellings, and how they are said. Data; keys in lower case."""

from __future__ import annotations

from backend.text.reading.english.word_sets import word_set

NAMES = {
    "nguyen": "Win",
    "siobhan": "Shivawn",
    "saoirse": "Seersha",
    "niamh": "Neev",
    "aoife": "Eefa",
    "caoimhe": "Keeva",
    "eoghan": "Owen",
    "cillian": "Killian",
    "padraig": "Pawdrig",
    "sinead": "Shinaid",
    "sinéad": "Shinaid",
    "siân": "Sharn",
    "hermione": "Hermyonee",
    "xiaomi": "Shaomee",
    "huawei": "Wahway",
    "zhang": "Jahng",
    "xi'an": "Shee ahn",
    "kubectl": "kube control",
    "nginx": "engine X",
    "linux": "linnux",
    "kubernetes": "koobernetties",
    "ubuntu": "oobuntoo",
    "pytorch": "pie torch",
    "numpy": "num pie",
    "scipy": "sigh pie",
    "pypi": "pie P I",
    "pytest": "pie test",
    "sudo": "soodoo",
    "chmod": "change mod",
    "xkcd": "X K C D",
    "worcestershire": "Wooster sheer",
    "worcester": "Wooster",
    "leicester": "Lester",
    "gloucester": "Gloster",
    "edinburgh": "Edinburra",
    "quinoa": "keen wah",
    "segue": "segway",
    "gyro": "gyro",
    "acai": "ah sigh ee",
    "açaí": "ah sigh ee",
}

CASUAL = {
    "dont": "don't",
    "doesnt": "doesn't",
    "didnt": "didn't",
    "cant": "can't",
    "wont": "won't",
    "isnt": "isn't",
    "arent": "aren't",
    "wasnt": "wasn't",
    "werent": "weren't",
    "hasnt": "hasn't",
    "havent": "haven't",
    "hadnt": "hadn't",
    "couldnt": "couldn't",
    "shouldnt": "shouldn't",
    "wouldnt": "wouldn't",
    "mustnt": "mustn't",
    "aint": "ain't",
    "youre": "you're",
    "theyre": "they're",
    "youve": "you've",
    "theyve": "they've",
    "weve": "we've",
    "youll": "you'll",
    "theyll": "they'll",
    "im": "I'm",
    "ive": "I've",
    "thats": "that's",
    "whats": "what's",
    "theres": "there's",
    "yall": "y'all",
    "thx": "thanks",
    "tnx": "thanks",
    "pls": "please",
    "plz": "please",
    "ppl": "people",
    "btw": "by the way",
    "aka": "also known as",
    "omg": "O M G",
    "omfg": "O M F G",
    "idk": "I D K",
    "idc": "I D C",
    "imo": "I M O",
    "imho": "I M H O",
    "fyi": "F Y I",
    "tbh": "T B H",
    "brb": "B R B",
    "afk": "A F K",
    "ttyl": "T T Y L",
    "smh": "S M H",
    "wtf": "W T F",
    "lmao": "L M A O",
    "asap": "A S A P",
    "tldr": "T L D R",
    "diy": "D I Y",
    "tv": "T V",
    "rock'n'roll": "rock and roll",
    "r'n'b": "R and B",
    "drum'n'bass": "drum and bass",
    "ok": "okay",
}

DOUBLED = word_set(
    """aww been beer boo boom boss brr call class cool deep dude eek egg food free freedom geez
    good goodbye goodnight happy hello hmm kiss meet miss mood moon need ooh oops pizza
    pretty really see seen sheesh shh sleep sorry soon speed sweet tell three too tree well
    week whoop will woohoo yass yell yummy"""
)
"""Words with a doubled letter that people write longer: "goooood"."""

PIPES = word_set(
    """acid apron balloon based battery bullet bullets crystal exposure free glass glazed
    levels mine ore paint pencil pipe pipes plate poisoning shield shot sheet solder weight
    weights"""
)
"""Words behind the metal lead."""
