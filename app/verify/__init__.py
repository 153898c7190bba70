"""The checker: an independent program that says whether what is served and stored is right.

It reads what the system wrote (feed, windows, changelog, HTTP answers) and, where there is one, the
venue's own log of the truth. Nothing here is imported by the workers.
"""
