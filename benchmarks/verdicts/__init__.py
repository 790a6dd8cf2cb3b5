"""Simulate verdicts by the old rule and by today's, on real runs: `python -m benchmarks.verdicts`.

`runs.json` has what each model of `assignment.py` reached in its counted epochs from 30 seeds.
"""
