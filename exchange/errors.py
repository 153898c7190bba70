"""The venue's error codes, and the exception that becomes an error reply."""

INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
AUTHORIZATION_REQUIRED = 10000
BAD_REQUEST = 11050
INVALID_CREDENTIALS = 13004
UNAUTHORIZED = 13009
ORDERBOOK_CLOSED = 13019
NOT_FOUND = 13020
RAW_NEEDS_LOGIN = 13778


class RpcError(Exception):
    """Ends a request with an error reply."""

    def __init__(self, code: int, message: str, data: object = None) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.data = data

    def fields(self) -> dict[str, object]:
        data = {} if self.data is None else {"data": self.data}
        return {"code": self.code, **data, "message": self.message}


def invalid_param(name: str, reason: str) -> RpcError:
    return RpcError(INVALID_PARAMS, "Invalid params", {"param": name, "reason": reason})
