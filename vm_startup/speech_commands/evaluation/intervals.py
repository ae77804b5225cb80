"""Two-sided 95 % confidence intervals of counted shares and rates, in closed form."""

import math

Z = 1.959964  # a normal variable is within ± Z in 95 % of cases


def wilson(successes: int, trials: int) -> list[float]:
    """The interval of a share: [low, high]; [0, 1] without trials.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    if not trials:
        return [0.0, 1.0]
    share, spread = successes / trials, Z**2 / trials
    centre = share + spread / 2
    reach = Z * math.sqrt((share * (1 - share) + spread / 4) / trials)
    low, high = (centre - reach) / (1 + spread), (centre + reach) / (1 + spread)
    # At the ends the exact values are 0 and 1, which rounding errors would miss.
    return [low if successes else 0.0, high if successes < trials else 1.0]


def poisson(events: int, time: float) -> list[float]:
    """The interval of a rate of rare events, per unit of `time` (above 0): [low, high].

    Byar's approximation, within 1 % of the exact upper bound; N. E. Breslow and N. E. Day,
    Statistical Methods in Cancer Research, volume II, 1987, section 2.3.
    """

    def byar(count: int, z: float) -> float:
        return count * (1 - 1 / (9 * count) + z / (3 * math.sqrt(count))) ** 3

    low = byar(events, -Z) if events else 0.0
    return [max(0.0, low) / time, byar(events + 1, Z) / time]
