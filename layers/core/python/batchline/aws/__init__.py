"""Everything that talks to AWS: the stores, and the stages' sequences of reads and writes."""
