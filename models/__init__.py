"""Records that leave a process: of the topics, of the tables, and the answers of the API."""
