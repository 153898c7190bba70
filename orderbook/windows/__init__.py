"""Windows: panes, spans, time-weighted sums, and the record that is published."""
