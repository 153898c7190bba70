"""Troubles that were ordered for the next calls and handshakes: errors, silence, refusals."""

from dataclasses import dataclass, field

ANY_METHOD = "*"


@dataclass(slots=True)
class Ordered:
    """One trouble; it is used up by `left` victims, or lasts until calm with None."""

    method: str
    code: int | None  # None: there is no answer at all
    left: int | None

    def meets(self, method: str) -> bool:
        return self.method in (ANY_METHOD, method)


@dataclass(slots=True)
class Refusal:
    """Handshakes that are answered with an HTTP status instead of 101."""

    status: int
    left: int | None


@dataclass(slots=True)
class CallFaults:
    """Holds the faults that wait for a call, first come, first served."""

    calls: list[Ordered] = field(default_factory=list)
    handshakes: list[Refusal] = field(default_factory=list)

    def of_call(self, method: str) -> Ordered | None:
        """The trouble that meets this call."""
        for ordered in self.calls:
            if ordered.meets(method):
                if ordered.left is not None:
                    ordered.left -= 1
                    if ordered.left == 0:
                        self.calls.remove(ordered)
                return ordered
        return None

    def of_handshake(self) -> int | None:
        """The status that this handshake is refused with."""
        if not self.handshakes:
            return None
        refusal = self.handshakes[0]
        if refusal.left is not None:
            refusal.left -= 1
            if refusal.left == 0:
                self.handshakes.pop(0)
        return refusal.status

    def calm(self) -> None:
        self.calls.clear()
        self.handshakes.clear()
