"""How the commands say things."""


def duration(seconds: float) -> str:
    """4.2 s, 75 s, 12 min, 2.5 h."""
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
