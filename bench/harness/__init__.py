"""Shared parts of the benchmark: texts, clients, simulated listeners, judge, report."""
