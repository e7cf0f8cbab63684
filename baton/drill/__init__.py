"""`baton drill`: runs a program, or a classifier, with and without interruptions, and compares both to the bit."""
