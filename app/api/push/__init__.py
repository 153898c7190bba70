"""Push: current states and closed windows to many clients, over SSE and WebSocket.

`latest` holds the newest message of each key, `hub` tells clients that there is something newer,
`stream` and `socket` are the two transports, `tap` reads closed windows from Kafka.
"""
