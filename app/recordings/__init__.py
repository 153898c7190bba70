"""Recording the venue: channels in, segments with manifests out, and the check of what is kept."""
