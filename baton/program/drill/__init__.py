"""What the library does below `baton drill`: saves at given steps, interrupts itself, and records what it sees.

It stays in the standard library, as the rest of `baton.program`. `baton.drill` starts the programs and compares them.
"""
