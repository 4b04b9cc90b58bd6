"""How large definitions may be, so that every evaluation is short."""

MAX_DEPTH = 16  # of a condition, with the segments in it; of a chain of prerequisites
MAX_CONDITIONS = 2_000  # comparisons of one flag, those of its segments counted at each use
MAX_PREREQUISITES = 1_000  # flags that are evaluated for one, each time it is reached
MAX_COMPARISONS = 10_000  # of one flag and of all that are evaluated for it
MAX_LIST = 100_000  # values of `in`, ids of a segment
MAX_SEARCHED = 1_000  # values of operators that try one after the other
MAX_REGEX = 1_000  # characters
MAX_TEXT = 10_000  # characters of a text that is compared, of an attribute's name
MAX_ELEMENTS = 1_000  # of a list that is looked through
REGEX_COST = 20  # comparisons that one regular expression counts for
REGEX_MEMORY = 1 << 20  # bytes for RE2: bounds how large the compiled form is, so how slow
MAX_NAME = 255
MAX_VARIANTS = 1_000
MAX_RULES = 1_000
