"""Policy evaluation: temporal differences, least squares, gradient and emphatic methods, on and off policy."""

__all__: list[str] = []
