"""The HTTP views: JSON for programs, the page for people, health for operators. They only read.

`site` puts them together. Every answer is one envelope, every error is problem+json, and any worker
answers for any instrument.
"""
