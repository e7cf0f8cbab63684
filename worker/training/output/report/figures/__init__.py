"""The figures of a report, with matplotlib's objects alone: no pyplot, no state that outlives a figure."""
