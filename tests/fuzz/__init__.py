"""Inputs that nobody would think of, and what must hold for every one of them.

Each target draws its inputs from a `random.Random` and judges what comes of them. With a seeded one this is
quick and can be repeated; with Hypothesis's (`st.randoms()`) a broken case shrinks. `python -m fuzz` in the
folder `tests` does the first, on all cores; `test_fuzz.py` does the second, for a few seconds.
"""
