"""The words that invented people and companies are made of.

Names come with their plain spelling, because an e-mail address and a LinkedIn slug need one and not every letter
has a decomposition (`Łukasz`, `Søren`, `美咲`).
"""

from typing import NamedTuple


class Name(NamedTuple):
    """One part of a person's name, as written and in plain letters."""

    written: str
    plain: str


class Place(NamedTuple):
    """A city, its state or province, and an area code that is in use there."""

    city: str
    state: str
    area_code: str


class Industry(NamedTuple):
    """An industry with its codes; both are text, because a leading zero is part of a code."""

    label: str
    sic: str
    naics: str


def _names(plain: str, *accented: tuple[str, str]) -> tuple[Name, ...]:
    return (*(Name(word, word.lower()) for word in plain.split()), *(Name(*pair) for pair in accented))


FIRST_NAMES = _names(
    "Jordan Jane Avery Morgan Riley Casey Quinn Rowan Dana Emerson Harper Jamie Kendall Logan Marlow Noel Parker Reese "
    "Sasha Taylor Blake Devon Ellis Frankie Hollis Indira Jules Kiran Lennox Micah",
    ("José", "jose"),
    ("Zoë", "zoe"),
    ("Łukasz", "lukasz"),
    ("Søren", "soren"),
    ("Siân", "sian"),
    ("美咲", "misaki"),
    ("Nuñez-Ana", "nunez-ana"),
)
LAST_NAMES = _names(
    "Lee Doe Ashdown Barlow Castell Draper Eastman Farrow Gantry Hadley Ivers Jessup Kestrel Lorimer Marsden Norwood "
    "Oakes Pemberton Quill Rushmore Sutter Thorne Underhill Vance Whitlock Yarrow Zeller",
    ("O’Rourke", "orourke"),  # noqa: RUF001  (a typographic apostrophe is what people paste)
    ("Muñoz", "munoz"),
    ("Østergård", "ostergard"),
    ("Çelik", "celik"),
    ("Groß", "gross"),
    ("Nguyễn", "nguyen"),
    ("山田", "yamada"),
)
JOB_TITLES = (
    "Chief Marketing Officer", "VP Sales", "CEO", "Owner", "Partner", "Head of Growth", "Director of Operations",
    "Office Manager", "IT Director", "Revenue Operations Lead", "Controller", "Founder & CEO", "Broker",
    "Financial Advisor", "Attorney", "Account Executive", "VP, People", "Procurement Manager", "Data Engineer",
    "Directora de Compras",
)  # fmt: skip
STRANGE_TITLES = (
    '=HYPERLINK("https://example.com/x","VP Sales")', "@Head of Growth", "+1 Engineering", "-Acting CFO",
    "\tOwner", 'VP "Special" Projects, EMEA',
)  # fmt: skip
"""Titles that a spreadsheet would run or a careless CSV writer would break on."""

COMPANY_WORDS = (
    "Acme", "Borealis", "Cinder", "Dovetail", "Ember", "Foxglove", "Granite", "Harbor", "Ironwood", "Juniper",
    "Kite", "Lantern", "Meridian", "Nimbus", "Orchard", "Pinnacle", "Quarry", "Redwood", "Saffron", "Tidewater",
)  # fmt: skip
COMPANY_FORMS = ("Inc", "LLC", "Group", "& Sons", "Partners", "Labs", "Co", "Holdings")
INDUSTRIES = (
    Industry("Software", "7372", "541511"),
    Industry("Marketing agencies", "7311", "541810"),
    Industry("Law firms", "8111", "541110"),
    Industry("Real estate brokerages", "6531", "531210"),
    Industry("Insurance agencies", "6411", "524210"),
    Industry("Wheat farming", "0111", "111140"),
    Industry("Veterinary services", "0742", "541940"),
    Industry("Landscaping", "0782", "561730"),
    Industry("Crop services", "0722", "011511"),  # no real NAICS code starts with 0; suppliers send them all the same
    Industry("Healthcare practices", "8011", "621111"),
)
PLACES = (
    Place("Boise", "ID", "208"), Place("Austin", "TX", "512"), Place("Seattle", "WA", "206"),
    Place("Denver", "CO", "303"), Place("Chicago", "IL", "312"), Place("Boston", "MA", "617"),
    Place("Las Vegas", "NV", "702"), Place("Salt Lake City", "UT", "801"), Place("Portland", "OR", "503"),
    Place("Atlanta", "GA", "404"), Place("Miami", "FL", "305"), Place("New York", "NY", "212"),
    Place("San Francisco", "CA", "415"), Place("Phoenix", "AZ", "602"), Place("Honolulu", "HI", "808"),
    Place("Billings", "MT", "406"), Place("Fargo", "ND", "701"), Place("Omaha", "NE", "402"),
    Place("Des Moines", "IA", "515"), Place("Minneapolis", "MN", "612"), Place("Milwaukee", "WI", "414"),
    Place("Detroit", "MI", "313"), Place("Cleveland", "OH", "216"), Place("Pittsburgh", "PA", "412"),
    Place("Philadelphia", "PA", "215"), Place("Baltimore", "MD", "410"), Place("Charlotte", "NC", "704"),
    Place("Nashville", "TN", "615"), Place("New Orleans", "LA", "504"), Place("Houston", "TX", "713"),
    Place("Los Angeles", "CA", "213"), Place("Cañon City", "CO", "719"), Place("Montréal", "QC", "514"),
    Place("Vancouver", "BC", "604"), Place("Anchorage", "AK", "907"),
)  # fmt: skip
