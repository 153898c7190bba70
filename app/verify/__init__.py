"""Holds what workers serve to the feed and to the venue's own books; no worker imports this."""
