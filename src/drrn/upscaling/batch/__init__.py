"""Many files: found, planned, chosen for, remembered."""
