"""The package's OpenAPI description, and whether an answer is as it says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jsonschema import Draft202012Validator

METHODS: Final = ("get", "head", "put", "options", "post", "patch", "delete", "trace")
NOT_FOUND: Final = "NotFound"
OTHER_METHOD: Final = "MethodNotAllowed"
_PLAIN: Final = frozenset({"content-type", "content-length"})


@dataclass(frozen=True, slots=True)
class Response:
    """One described answer.

    Attributes:
        name: the component's name.
        codes: what `code` an error of it may have; none if it is no error.
        headers: by name in small letters, whether it must be there, and what its value is.
        content: what its body is, by content type.
    """

    name: str
    codes: tuple[str, ...]
    headers: Mapping[str, tuple[bool, Draft202012Validator]] = field(repr=False)
    content: Mapping[str, Draft202012Validator] = field(repr=False)

    def complaint(self, method: str, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> str | None:
        """What is not as described, or None."""
        given = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers]
        found = dict(given)
        if len(found) != len(given):
            return f"{self.name}: a header is there twice"
        return self._of_headers(found) or self._of_body(method, found, body)

    def _of_headers(self, found: Mapping[str, str]) -> str | None:
        for name, value in found.items():
            if name in _PLAIN:
                continue
            if name not in self.headers:
                return f"{self.name}: the header {name!r} is not described"
            if not self.headers[name][1].is_valid(_typed(value)):
                return f"{self.name}: the header {name!r} is not as described: {value!r}"
        missing = [name for name, (required, _) in self.headers.items() if required and name not in found]
        return f"{self.name}: headers are missing: {missing}" if missing else None

    def _of_body(self, method: str, found: Mapping[str, str], body: bytes) -> str | None:
        kind = found.get("content-type")
        if (kind in self.content) != bool(self.content):
            return f"{self.name}: the content type {kind!r} is not described"
        if kind is None or method == "HEAD":
            return f"{self.name}: there is a body" if body else None
        if found.get("content-length") != str(len(body)):
            return f"{self.name}: the length is wrong"
        content = json.loads(body) if kind == "application/json" else body.decode()
        problem = next(self.content[kind].iter_errors(content), None)
        return f"{self.name}: the body is not as described: {problem.message}" if problem else None


@dataclass(frozen=True, slots=True)
class Described:
    """The description.

    Attributes:
        document: as it is shipped.
        operations: the answers by status, of each path and method.
        others: answers that belong to no operation, by name.
    """

    document: dict[str, Any] = field(repr=False)
    operations: Mapping[tuple[str, str], Mapping[int, Response]]
    others: Mapping[str, Response]

    def complaint(
        self, method: str, path: str | None, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes
    ) -> str | None:
        """What is not as described in an answer of a service that owns its paths, or None.

        Args:
            method: the request's, as it came.
            path: the template that the request's path fits; None if it fits none.
            status: the answer's.
            headers: the answer's.
            body: the answer's.
        """
        response = self._response(method, path, status)
        if response is None:
            return f"{method} {path}: the status {status} is not described"
        return response.complaint(method, headers, body)

    def _response(self, method: str, path: str | None, status: int) -> Response | None:
        if path is None:
            return self.others[NOT_FOUND] if status == 404 else None
        operation = self.operations.get((path, method))
        if operation is None:
            return self.others[OTHER_METHOD] if status == 405 else None
        return operation.get(status)

    def outcomes(self) -> Iterator[tuple[str, str, int, str]]:
        """Each described answer: path, method, status, and `code` or nothing."""
        for (path, method), operation in self.operations.items():
            for status, response in operation.items():
                for code in response.codes or ("",):
                    yield path, method, status, code


@cache
def described() -> Described:
    """The description that the package ships."""
    document = json.loads((files("wxtoken_asgi") / "openapi.json").read_text(encoding="utf-8"))
    operations = {
        (path, method.upper()): {
            int(status): _response(document, answer["$ref"].rpartition("/")[2])
            for status, answer in item[method]["responses"].items()
        }
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    }
    used = {answer.name for operation in operations.values() for answer in operation.values()}
    names = set(document["components"]["responses"]) - used
    return Described(document, operations, {name: _response(document, name) for name in sorted(names)})


def _response(document: dict[str, Any], name: str) -> Response:
    answer = document["components"]["responses"][name]
    headers = {}
    for header, reference in answer["headers"].items():
        meant = document["components"]["headers"][reference["$ref"].rpartition("/")[2]]
        headers[header.lower()] = (meant.get("required", False), _validator(document, meant["schema"]))
    content = answer.get("content", {})
    error = content.get("application/json", {}).get("schema", {}).get("properties", {}).get("code", {})
    return Response(
        name,
        tuple(error.get("enum", ())),
        headers,
        {kind: _validator(document, body["schema"]) for kind, body in content.items()},
    )


def _validator(document: dict[str, Any], schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({"components": document["components"], **schema})


def _typed(text: str) -> str | int:
    return int(text) if text.isascii() and text.isdecimal() else text
