"""Faults of a whole stand-in, in small files by what they break; `cases/` says what each is good for.

Each is a function of the stack: one that breaks it, and one that undoes exactly that where it can be undone.
(Faults of single connections are in `faults.py` and `fault_proxy.py`.)
"""
