"""What the README has for Windows does what it says there."""

import os
import time

from harness import TOKEN, Port, Program, eventually, fields, leave, reader

README = os.path.join(os.path.dirname(__file__), "../../README.md")


def commands():
    """The last column of the recipes, as far as it is commands of one line of its own."""
    with open(README) as page:
        rows = page.read().split("| on Windows |")[1].split("\n\n")[0].splitlines()
    cells = [row.replace("\\|", "").split("|")[-2].strip() for row in rows[2:]]
    return [cell.strip("`").split()[1:] for cell in cells if cell.startswith("`serialshark ")]


def the_readmes_recipes_for_windows_work():
    tried = commands()
    assert len(tried) == 7, tried
    for args in tried:
        port = Port()
        if args[0] == "top":
            args = args[1:]  # a console of its own is in console.py
        # The second port of Wine would be a second pseudo-terminal.
        args = ["sim:mstp" if arg.startswith("COM6") else arg for arg in args]
        program = Program(*args)
        if "--pipe" in args:
            program.wait_for("waiting for a reader")
            come = reader()
            program.wait_for("a reader has come")
        if args[0].startswith("COM5"):
            program.wait_for("reading mstp")
            for _ in range(50):
                port.send(TOKEN)
                time.sleep(0.002)
        if "--pipe" in args:
            assert len(fields("-r", "-", "-c", "3", stdin=come.stdout)) == 3, args
            leave(come)
        if "--replay-paced" in args:
            # It has ended, or goes on without a reader.
            program.process.kill()
        else:
            assert program.interrupt() == 0, (args, program.said())
    names = os.listdir()
    assert any(name.startswith("trunk_") and fields("-r", name) for name in names), names
    eventually(lambda: "trunk.rec" in os.listdir(), "the recording")
