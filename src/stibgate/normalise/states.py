"""States: the two-letter code of a US state or territory, where the text is one.

Source: USPS Publication 28, appendix B (codes); AP and older abbreviations as they are found in address lists.
"""

_STATES = {
    "AL": "Alabama|Ala", "AK": "Alaska", "AZ": "Arizona|Ariz", "AR": "Arkansas|Ark",
    "CA": "California|Calif|Cal", "CO": "Colorado|Colo", "CT": "Connecticut|Conn", "DE": "Delaware|Del",
    "DC": "District of Columbia|Washington DC|Dist of Columbia", "FL": "Florida|Fla", "GA": "Georgia",
    "HI": "Hawaii|Hawai\u02bbi", "ID": "Idaho|Ida", "IL": "Illinois|Ill|Ills", "IN": "Indiana|Ind", "IA": "Iowa",
    "KS": "Kansas|Kans|Kan", "KY": "Kentucky", "LA": "Louisiana", "ME": "Maine", "MD": "Maryland",
    "MA": "Massachusetts|Mass", "MI": "Michigan|Mich", "MN": "Minnesota|Minn", "MS": "Mississippi|Miss",
    "MO": "Missouri", "MT": "Montana|Mont", "NE": "Nebraska|Nebr|Neb", "NV": "Nevada|Nev",
    "NH": "New Hampshire|N Hamp", "NJ": "New Jersey|N Jersey", "NM": "New Mexico|N Mex|New Mex",
    "NY": "New York|N York", "NC": "North Carolina|N Car|N Carolina", "ND": "North Dakota|N Dak|N Dakota|No Dak",
    "OH": "Ohio", "OK": "Oklahoma|Okla", "OR": "Oregon|Oreg|Ore", "PA": "Pennsylvania|Penna|Penn",
    "RI": "Rhode Island", "SC": "South Carolina|S Car|S Carolina", "SD": "South Dakota|S Dak|S Dakota|So Dak",
    "TN": "Tennessee|Tenn", "TX": "Texas|Tex", "UT": "Utah", "VT": "Vermont", "VA": "Virginia",
    "WA": "Washington|Wash|Washington State", "WV": "West Virginia|W Va|W Virg|W Virginia",
    "WI": "Wisconsin|Wisc|Wis", "WY": "Wyoming|Wyo",
    "AS": "American Samoa", "GU": "Guam",
    "MP": "Northern Mariana Islands|Commonwealth of the Northern Mariana Islands|CNMI", "PR": "Puerto Rico",
    "VI": "Virgin Islands|US Virgin Islands|U S Virgin Islands|USVI",
}  # fmt: skip


def _key(text: str) -> str:
    """Return the letters of *text*, lower-case: `N. Dak.` and `n dak` are one, `US-TX` is `ustx`."""
    return "".join(filter(str.isalpha, text.casefold()))


_CODES = {
    _key(spelling): code
    for code, names in _STATES.items()
    for spelling in (code, f"US-{code}", *names.split("|"))
}  # fmt: skip
_READY = frozenset(_STATES)


def canonical(text: str) -> str:
    """Return the two-letter code when *text* is a US state or territory, else *text*: provinces stay as they are.

    Args:
        text: Cleaned text.
    """
    if text in _READY:
        return text
    if any(map(str.isdigit, text)):
        return text
    return _CODES.get(_key(text), text)
