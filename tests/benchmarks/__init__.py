"""Benchmarks: ratios against a peer measured in the same run, as the median of interleaved pairs."""
