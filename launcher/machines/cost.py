"""What a machine costs. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Price:
    """US dollars an hour, and where the figure comes from."""

    usd_per_hour: float
    source: str


def usd(usd_per_hour: float, seconds: float) -> float:
    """What `seconds` of a machine cost, in US dollars, unrounded."""
    return usd_per_hour * seconds / 3600


def dollars(amount: float) -> str:
    """An amount for people: to the cent, or to four digits where that would be 0.00."""
    return f"{amount:.2f} USD" if amount == 0 or amount >= 0.005 else f"{amount:.4f} USD"
