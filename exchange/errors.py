"""The venue's error codes, and the exception that becomes an error reply."""

INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
AUTHORIZATION_REQUIRED = 10000
TOO_MANY_REQUESTS = 10028
BAD_REQUEST = 11050
SYSTEM_MAINTENANCE = 11051
INVALID_CREDENTIALS = 13004
UNAUTHORIZED = 13009
ORDERBOOK_CLOSED = 13019
NOT_FOUND = 13020
RAW_NEEDS_LOGIN = 13778

MESSAGES = {
    INVALID_REQUEST: "Invalid Request",
    METHOD_NOT_FOUND: "Method not found",
    INVALID_PARAMS: "Invalid params",
    -32700: "Parse error",
    -32000: "Server error",
    AUTHORIZATION_REQUIRED: "authorization_required",
    TOO_MANY_REQUESTS: "too_many_requests",
    10030: "must_be_websocket_request",
    10040: "retry",
    10041: "settlement_in_progress",
    10047: "matching_engine_queue_full",
    10066: "too_many_concurrent_requests",
    BAD_REQUEST: "bad_request",
    SYSTEM_MAINTENANCE: "system_maintenance",
    11052: "subscribe_error_unsubscribed",
    11056: "unauthenticated_public_requests_temporarily_disabled",
    11094: "internal_server_error",
    INVALID_CREDENTIALS: "invalid_credentials",
    UNAUTHORIZED: "unauthorized",
    ORDERBOOK_CLOSED: "orderbook_closed",
    NOT_FOUND: "not_found",
    13028: "temporarily_unavailable",
    RAW_NEEDS_LOGIN: "raw_subscriptions_not_available_for_unauthorized",
    13888: "timed_out",
}
ENDS_SESSION = frozenset({TOO_MANY_REQUESTS})  # after the reply the venue cuts the connection


class RpcError(Exception):
    """Ends a request with an error reply."""

    def __init__(self, code: int, message: str | None = None, data: object = None) -> None:
        message = MESSAGES[code] if message is None else message
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.data = data

    def fields(self) -> dict[str, object]:
        data = {} if self.data is None else {"data": self.data}
        return {"code": self.code, **data, "message": self.message}


def invalid_param(name: str, reason: str) -> RpcError:
    return RpcError(INVALID_PARAMS, None, {"param": name, "reason": reason})
