"""What leaves a process: records of the topics, state of the tables, answers of the views."""
