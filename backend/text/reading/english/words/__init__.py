"""English words: letters, abbreviations, capitals, addresses, code; `wording` orders the rules."""
