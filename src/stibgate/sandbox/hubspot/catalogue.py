"""The properties that HubSpot gives every account, as far as stibgate or its tests may meet them.

The enumerations have HubSpot's internal values; a label differs from its value, and only the value is taken.
"""

from typing import NamedTuple

_INDUSTRIES = """
    ACCOUNTING AIRLINES_AVIATION ALTERNATIVE_DISPUTE_RESOLUTION ALTERNATIVE_MEDICINE ANIMATION APPAREL_FASHION
    ARCHITECTURE_PLANNING ARTS_AND_CRAFTS AUTOMOTIVE AVIATION_AEROSPACE BANKING BIOTECHNOLOGY BROADCAST_MEDIA
    BUILDING_MATERIALS BUSINESS_SUPPLIES_AND_EQUIPMENT CAPITAL_MARKETS CHEMICALS CIVIC_SOCIAL_ORGANIZATION
    CIVIL_ENGINEERING COMMERCIAL_REAL_ESTATE COMPUTER_NETWORK_SECURITY COMPUTER_GAMES COMPUTER_HARDWARE
    COMPUTER_NETWORKING COMPUTER_SOFTWARE INTERNET CONSTRUCTION CONSUMER_ELECTRONICS CONSUMER_GOODS CONSUMER_SERVICES
    COSMETICS DAIRY DEFENSE_SPACE DESIGN EDUCATION_MANAGEMENT E_LEARNING ELECTRICAL_ELECTRONIC_MANUFACTURING
    ENTERTAINMENT ENVIRONMENTAL_SERVICES EVENTS_SERVICES EXECUTIVE_OFFICE FACILITIES_SERVICES FARMING
    FINANCIAL_SERVICES FINE_ART FISHERY FOOD_BEVERAGES FOOD_PRODUCTION FUND_RAISING FURNITURE GAMBLING_CASINOS
    GLASS_CERAMICS_CONCRETE GOVERNMENT_ADMINISTRATION GOVERNMENT_RELATIONS GRAPHIC_DESIGN HEALTH_WELLNESS_AND_FITNESS
    HIGHER_EDUCATION HOSPITAL_HEALTH_CARE HOSPITALITY HUMAN_RESOURCES IMPORT_AND_EXPORT INDIVIDUAL_FAMILY_SERVICES
    INDUSTRIAL_AUTOMATION INFORMATION_SERVICES INFORMATION_TECHNOLOGY_AND_SERVICES INSURANCE INTERNATIONAL_AFFAIRS
    INTERNATIONAL_TRADE_AND_DEVELOPMENT INVESTMENT_BANKING INVESTMENT_MANAGEMENT JUDICIARY LAW_ENFORCEMENT LAW_PRACTICE
    LEGAL_SERVICES LEGISLATIVE_OFFICE LEISURE_TRAVEL_TOURISM LIBRARIES LOGISTICS_AND_SUPPLY_CHAIN LUXURY_GOODS_JEWELRY
    MACHINERY MANAGEMENT_CONSULTING MARITIME MARKET_RESEARCH MARKETING_AND_ADVERTISING
    MECHANICAL_OR_INDUSTRIAL_ENGINEERING MEDIA_PRODUCTION MEDICAL_DEVICES MEDICAL_PRACTICE MENTAL_HEALTH_CARE MILITARY
    MINING_METALS MOTION_PICTURES_AND_FILM MUSEUMS_AND_INSTITUTIONS MUSIC NANOTECHNOLOGY NEWSPAPERS
    NON_PROFIT_ORGANIZATION_MANAGEMENT OIL_ENERGY ONLINE_MEDIA OUTSOURCING_OFFSHORING PACKAGE_FREIGHT_DELIVERY
    PACKAGING_AND_CONTAINERS PAPER_FOREST_PRODUCTS PERFORMING_ARTS PHARMACEUTICALS PHILANTHROPY PHOTOGRAPHY PLASTICS
    POLITICAL_ORGANIZATION PRIMARY_SECONDARY_EDUCATION PRINTING PROFESSIONAL_TRAINING_COACHING PROGRAM_DEVELOPMENT
    PUBLIC_POLICY PUBLIC_RELATIONS_AND_COMMUNICATIONS PUBLIC_SAFETY PUBLISHING RAILROAD_MANUFACTURE RANCHING
    REAL_ESTATE RECREATIONAL_FACILITIES_AND_SERVICES RELIGIOUS_INSTITUTIONS RENEWABLES_ENVIRONMENT RESEARCH RESTAURANTS
    RETAIL SECURITY_AND_INVESTIGATIONS SEMICONDUCTORS SHIPBUILDING SPORTING_GOODS SPORTS STAFFING_AND_RECRUITING
    SUPERMARKETS TELECOMMUNICATIONS TEXTILES THINK_TANKS TOBACCO TRANSLATION_AND_LOCALIZATION
    TRANSPORTATION_TRUCKING_RAILROAD UTILITIES VENTURE_CAPITAL_PRIVATE_EQUITY VETERINARY WAREHOUSING WHOLESALE
    WINE_AND_SPIRITS WIRELESS WRITING_AND_EDITING
"""
LIFECYCLE_STAGES = (
    "subscriber", "lead", "marketingqualifiedlead", "salesqualifiedlead", "opportunity", "customer", "evangelist",
    "other",
)  # fmt: skip
"""In their order: a stage moves forward only."""

Options = tuple[tuple[str, str], ...]


class Row(NamedTuple):
    """One property; `options` are pairs of value and label."""

    name: str
    label: str
    type: str = "string"
    field_type: str = "text"
    read_only: bool = False
    options: Options = ()


def _choice(name: str, label: str, values: tuple[str, ...]) -> Row:
    options = tuple((value, value.replace("_", " ").title()) for value in values)
    return Row(name, label, "enumeration", "radio" if name == "lifecyclestage" else "select", options=options)


def _number(name: str, label: str) -> Row:
    return Row(name, label, "number", "number")


def _fixed(name: str, label: str, type_: str = "string") -> Row:
    field_type = {"datetime": "date", "number": "number"}.get(type_, "text")
    return Row(name, label, type_, field_type, read_only=True)


_COMMON = (
    _fixed("hs_object_id", "Record ID", "number"),
    _fixed("createdate", "Create Date", "datetime"),
    Row("phone", "Phone Number", field_type="phonenumber"),
    Row("address", "Street Address"),
    Row("city", "City"),
    Row("state", "State/Region"),
    Row("zip", "Postal Code"),
    Row("country", "Country/Region"),
    Row("website", "Website URL"),
    _choice("lifecyclestage", "Lifecycle Stage", LIFECYCLE_STAGES),
    _choice("hs_lead_status", "Lead Status", ("NEW", "OPEN", "IN_PROGRESS", "CONNECTED", "UNQUALIFIED")),
    Row("hubspot_owner_id", "Owner", "enumeration", "select"),
    Row("hs_timezone", "Time Zone"),
)
BUILT_IN: dict[str, tuple[Row, ...]] = {
    "contacts": (
        *_COMMON,
        _fixed("lastmodifieddate", "Last Modified Date", "datetime"),
        Row("email", "Email"),
        Row("firstname", "First Name"),
        Row("lastname", "Last Name"),
        Row("salutation", "Salutation"),
        Row("jobtitle", "Job Title"),
        Row("mobilephone", "Mobile Phone Number", field_type="phonenumber"),
        Row("company", "Company Name"),
        Row("industry", "Industry"),
        Row("annualrevenue", "Annual Revenue"),
        Row("numemployees", "Number of Employees", "enumeration", "select", options=(("1-5", "1-5"), ("5-25", "5-25"))),
        Row("hs_linkedin_url", "LinkedIn URL"),
        Row("date_of_birth", "Date of birth"),
        _fixed("hs_additional_emails", "Additional email addresses"),
        _fixed("hs_email_domain", "Email Domain"),
        _fixed("hs_marketable_status", "Marketing contact status"),
        _fixed("associatedcompanyid", "Primary Associated Company ID", "number"),
    ),
    "companies": (
        *_COMMON,
        _fixed("hs_lastmodifieddate", "Last Modified Date", "datetime"),
        Row("name", "Company name"),
        Row("domain", "Company Domain Name"),
        _choice("industry", "Industry", tuple(_INDUSTRIES.split())),
        _number("annualrevenue", "Annual Revenue"),
        _number("numberofemployees", "Number of Employees"),
        Row("description", "Description", field_type="textarea"),
        Row("founded_year", "Year Founded"),
        Row("linkedin_company_page", "LinkedIn Company Page"),
        _choice("type", "Type", ("PROSPECT", "PARTNER", "RESELLER", "VENDOR", "OTHER")),
        Row("is_public", "Is Public", "bool", "booleancheckbox"),
        Row("hs_logo_url", "Logo URL"),
        _fixed("hs_additional_domains", "Additional Domains"),
        _fixed("num_associated_contacts", "Number of Associated Contacts", "number"),
    ),
}
