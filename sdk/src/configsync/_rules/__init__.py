"""Pure: conditions, bucketing and the evaluation of feature flags; its twin is in the SDK."""
