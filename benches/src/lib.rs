//! Measurements against a physical limit and against peers, in one run.
