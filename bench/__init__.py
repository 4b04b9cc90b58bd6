"""Measurements, every figure beside a yardstick of the same run: `python -m bench --help`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sdk" / "src"))
