"""Industries: the option of the portal's own list that an industry's name means, if there is one.

Portals have HubSpot's list with spellings of their own (`E_LEARNING`, `ELEARNING`), so the live options decide:
names are compared by their letters alone. Names that are spelt otherwise but mean the same are listed here;
anything else has no option, because a wrong industry is worse than none.
"""

from collections.abc import Mapping

_SAME = {
    "COMPUTER_SOFTWARE": "software|software development",
    "INFORMATION_TECHNOLOGY_AND_SERVICES": "it services|it services and it consulting|information technology",
    "MARKETING_AND_ADVERTISING": "marketing|advertising|marketing services|advertising services|marketing agencies",
    "LAW_PRACTICE": "law firms|law firm|law offices",
    "REAL_ESTATE": "real estate brokerages|real estate agencies",
    "INSURANCE": "insurance agencies|insurance brokerages",
    "VETERINARY": "veterinary services",
    "FARMING": "crop services|wheat farming|crop farming",
    "MEDICAL_PRACTICE": "medical practices|healthcare practices|physicians",
    "HOSPITAL_HEALTH_CARE": "hospitals|health care|healthcare|hospitals and health care",
    "STAFFING_AND_RECRUITING": "staffing|recruiting|staffing agencies",
    "MANAGEMENT_CONSULTING": "business consulting and services|consulting",
    "TELECOMMUNICATIONS": "telecom",
    "E_LEARNING": "e-learning providers|elearning",
    "NON_PROFIT_ORGANIZATION_MANAGEMENT": "nonprofit organizations|non-profit organizations",
    "LOGISTICS_AND_SUPPLY_CHAIN": "logistics",
    "HOSPITALITY": "hotels|hotels and motels",
    "RESTAURANTS": "restaurant",
    "ACCOUNTING": "accounting firms|accountants",
    "COMPUTER_NETWORK_SECURITY": "computer and network security|cybersecurity",
    "TRANSPORTATION_TRUCKING_RAILROAD": "trucking|truck transportation",
}


def letters(text: str) -> str:
    """Return what two spellings of one name share: its letters and digits, lower-case, without `and`."""
    words = "".join(char if char.isalnum() else " " for char in text.casefold()).split()
    return "".join(word for word in words if word != "and")


_ALIASES: Mapping[str, str] = {
    letters(name): letters(option) for option, names in _SAME.items() for name in names.split("|")
}


def match(text: str, choices: Mapping[str, str]) -> str | None:
    """Return the option that *text* means, or None.

    Args:
        text: An industry as Stibnite names it.
        choices: The portal's options by the `letters` of their values and labels.
    """
    wanted = letters(text)
    return choices.get(wanted) or choices.get(_ALIASES.get(wanted, ""))
