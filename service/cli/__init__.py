"""The command line, `freshet`: every process of the service starts here.

What is heavy (torch, SQLAlchemy, FastAPI) is imported by the command that needs it, after
`runtime.prepare_process` has set what must be set before torch is loaded.
"""


def main() -> None:
    """Run the command line."""
    from service.cli.app import main as run

    run()
