"""The API's own description (OpenAPI 3.1), and whether an answer fits it."""

import json
import re
from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator

JSON = "application/json"

NOT_MODIFIED = 304


class Description:
    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield (method, path template, operation)."""
        for path, methods in self.document["paths"].items():
            for method, operation in methods.items():
                yield method.upper(), path, operation

    def undescribed(self) -> list[str]:
        """Return the operations whose success is not described: by a model, or by a kind of file."""
        return [
            f"{method} {path}"
            for method, path, operation in self.operations()
            for status, response in operation["responses"].items()
            if status.startswith("2") and not _is_described(response.get("content", {}))
        ]

    def operation(self, method: str, path: str) -> tuple[str, dict[str, Any]] | None:
        """Return the template and the operation of a request; a path without a parameter comes first."""
        found = [
            (template, operation)
            for verb, template, operation in self.operations()
            if verb == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path.partition("?")[0])
        ]
        return min(found, key=lambda pair: pair[0].count("{"), default=None)

    def check(self, method: str, path: str, status: int, media_type: str, body: bytes) -> None:
        """Fail if an answer is not as described."""
        found = self.operation(method, path)
        if found is None:
            return
        responses = found[1]["responses"]
        response = responses.get(str(status)) or responses.get(f"{status // 100}XX")
        assert response, f"{method} {path}: {status} is not described"
        if status == NOT_MODIFIED:
            assert body == b""
            return
        content = response["content"]
        if status == 200 and JSON not in content:
            assert media_type.partition(";")[0] in content, f"{method} {path}: {media_type}"
        if media_type == JSON:
            schema = {**content[JSON]["schema"], "components": self.document["components"]}
            Draft202012Validator(schema).validate(json.loads(body))


def _is_described(content: dict[str, Any]) -> bool:
    schema = content.get(JSON, {}).get("schema")
    if schema is None:
        return bool(content)
    return "$ref" in schema or ("$ref" in schema.get("items", {}) or "prefixItems" in schema.get("items", {}))
