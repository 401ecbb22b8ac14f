"""`python -m tests.load [--write] [NAME]`: runs the benchmarks, all or those whose name begins with NAME; with --write
each puts its table into docs/performance.md."""

import asyncio
import importlib
import inspect
import pkgutil
import sys

from rich.console import Console

import tests.load
from tests.load.bench import BENCHMARKS, Benchmark, Result, Unmeasurable, append_line, show
from tests.load.report import write_section


def main() -> int:
    arguments = sys.argv[1:]
    write = "--write" in arguments
    wanted = next((argument for argument in arguments if argument != "--write"), "")
    for module in pkgutil.iter_modules(tests.load.__path__):
        if module.name not in ("__main__", "bench"):
            importlib.import_module(f"tests.load.{module.name}")
    chosen = {name: run for name, run in BENCHMARKS.items() if name.startswith(wanted)}
    if not chosen:
        Console(stderr=True).print(f"No benchmark begins with {wanted!r}. There are: {', '.join(sorted(BENCHMARKS))}")
        return 2
    console = Console(width=None if sys.stdout.isatty() else 160)
    results = []
    for name, run in sorted(chosen.items()):
        found = asyncio.run(_run(name, run, console))
        results += found
        if write and found:
            write_section(name, inspect.cleandoc(run.__doc__ or ""), found)
    if results:
        show(results, console)
    return 0


async def _run(name: str, run: Benchmark, console: Console) -> list[Result]:
    console.print(f"{name} ...", highlight=False)
    results = []
    try:
        async for result in run():
            append_line(result)
            results.append(result)
    except Unmeasurable as error:
        console.print(f"{name}: not measured: {error}", highlight=False)
    return results


if __name__ == "__main__":
    sys.exit(main())
