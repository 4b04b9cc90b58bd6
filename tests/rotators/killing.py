"""`python -m tests.rotators.killing ID POINT`: renew a value, and die at a point of it.

A point is `before:STEP` or `after:STEP`; the step `switch` is the write of the key.
"""

import os
import signal
import sys

from app.rotators import engine
from app.rotators.kinds import KINDS


def die(*_: object) -> None:
    """End at once, as by a power cut."""
    os.kill(os.getpid(), signal.SIGKILL)


def main(rotator_id: int, when: str, step: str) -> None:
    """Run until the point."""
    if step == "switch":
        place, name = engine, "apply" if when == "before" else "_switch"
    else:
        place, name = KINDS["postgres"], step
    whole = getattr(place, name)

    def cut(*args, **kwargs):
        if when == "before":
            die()
        result = whole(*args, **kwargs)
        die()
        return result

    if name == "_switch":
        engine._NEXT = {**engine._NEXT, "test": cut}
    else:
        object.__setattr__(place, name, cut) if place is not engine else setattr(engine, name, cut)
    engine.run(rotator_id, asked=True)
    die_not_reached = 3
    sys.exit(die_not_reached)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2].split(":"))
