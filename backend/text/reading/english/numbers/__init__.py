"""English numbers: money, dates, times, units, mathematics; `numeric` orders the rules."""
