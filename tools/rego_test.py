"""Runs every `test_*` rule of policy/*_test.rego with the embedded engine, and fails when one does not hold.

The rules see what the contexts grant.
"""

from __future__ import annotations

import re
from pathlib import Path

import regorus

from mesh.policy import Bundle
from mesh.policy.grants import installed_grants

POLICY = Path(__file__).resolve().parent.parent / "policy"


def main() -> int:
    """Prints each failing rule and the count."""
    engine = regorus.Engine()
    for path in sorted(POLICY.glob("*.rego")):
        engine.add_policy_from_file(str(path))
    engine.add_data_json(Bundle.read(POLICY, installed_grants()).data)
    engine.set_input_json("{}")
    ran, failed = 0, []
    for path in sorted(POLICY.glob("*_test.rego")):
        text = path.read_text()
        package = re.search(r"^package ([\w.]+)", text, re.MULTILINE)
        if package is None:
            failed.append(f"{path.name}: no package")
            continue
        for name in dict.fromkeys(re.findall(r"^(test_\w+)", text, re.MULTILINE)):
            ran += 1
            rule = f"data.{package[1]}.{name}"
            if engine.eval_rule(rule) is not True:
                failed.append(rule)
    print(
        "\n".join(f"FAIL {rule}" for rule in failed)
        + ("\n" if failed else "")
        + f"rego: {ran} rules, {len(failed)} failed"
    )
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    raise SystemExit(main())
