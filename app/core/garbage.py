"""When the garbage collector runs: a look through a large heap stops every reader.

What is dropped is freed at once; the collector is only for what refers to itself in a circle,
which is rare here, and mostly young.
"""

import gc
import threading

YOUNG, MIDDLE = 5_000, 10
"""Net new objects before the young are looked through, and such looks before the middle ones."""
OLD = 200
"""Looks through the middle ones before a whole one, when the server never comes to rest."""
OLD_AT_REST = 5


def settle() -> None:
    """Leave alone for good what has been made by now; to be called when all is loaded."""
    if threading.current_thread() is threading.main_thread():  # not in an application of a test
        gc.set_threshold(YOUNG, MIDDLE, OLD)
        gc.collect()
        gc.freeze()


def collect_at_rest() -> None:
    """Look through everything if that is due; to be called while nobody waits for an answer."""
    if gc.get_count()[2] >= OLD_AT_REST:
        gc.collect()
