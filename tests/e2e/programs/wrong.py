"""`wxtoken serve` with one wrong configuration after the other: each is told on a line of stderr."""

from __future__ import annotations

import os
import sys

from wxtoken_asgi.command.cli import main

for path in sys.argv[1:]:
    print(main(["serve", "--config", path]))
print(main(["serve", "--sandbox", "--store", os.environ.pop("STORE")]))
os.environ["WXTOKEN_ACCOUNTS__ALPHA__SECERT"] = os.environ.pop("SECERT")
print(main(["serve", "--sandbox"]))
