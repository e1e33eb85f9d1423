"""Booking of the club's boats: the rules that the web form checks."""

from datetime import timedelta

# How far ahead a boat can be booked.
MAX_DAYS_AHEAD = 14

# Longest outing of one booking.
MAX_OUTING = timedelta(hours=3)

# A booking lapses when the boat was not taken out after this many minutes.
NO_SHOW_MINUTES = 25

# Bookings that one member may hold at the same time.
MAX_OPEN_BOOKINGS = 2

# Above this wind speed (metres per second) no boat goes out.
WIND_LIMIT_EIGHT = 9.0
WIND_LIMIT_SINGLE = 5.5

# Water temperature below which life jackets are required, in degrees Celsius.
LIFE_JACKET_BELOW = 12

# boat name: (seats, weight class of the crew in kg, value in euros)
BOATS = {
    "Silver Heron": (8, 85, 38400),
    "Old Otter": (4, 90, 11500),
    "Marigold": (2, 70, 7900),
    "Kingfisher": (1, 75, 5200),
    "Dragonfly": (1, 60, 4650),
}

ADMIN_EMAIL = "boats@elmswater.example"


def needs_trainer(boat: str) -> bool:
    """Racing boats are those worth more than 7,000 euros."""
    return BOATS[boat][2] > 7000


def may_go_out(boat: str, wind: float) -> bool:
    """Whether the wind allows the outing; boats with two seats count as singles."""
    seats = BOATS[boat][0]
    limit = WIND_LIMIT_EIGHT if seats >= 4 else WIND_LIMIT_SINGLE
    return wind <= limit
