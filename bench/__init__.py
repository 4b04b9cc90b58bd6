"""Measurements, every figure beside a yardstick of the same run: `python -m bench --help`."""
