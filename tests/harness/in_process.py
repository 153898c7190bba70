"""A worker in the process of its test, with the agents that it needs."""

from __future__ import annotations

from typing import Any, Protocol

from app.embedded_kafka.processes import free_port
from app.settings import Settings
from app.state.worker_state import WorkerState
from app.worker import Steelyard


class Agent(Protocol):
    """A module of `agents`."""

    def register(self, app: Steelyard) -> None:
        """Add the agent to the app."""


class Worker:
    """A worker that reads no venue."""

    def __init__(self, installation: Settings, *agents: Agent, **settings: Any) -> None:
        changed = {"web_port": free_port(), "ingest": False} | settings
        self.app = Steelyard(installation.model_copy(update=changed))
        self.app.shared = WorkerState(self.app)
        for agent in agents:
            agent.register(self.app)
