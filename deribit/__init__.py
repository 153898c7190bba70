"""The venue: Deribit's JSON-RPC protocol, its client, its words; and nothing else."""
