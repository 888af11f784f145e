"""Ask the advisory service about every pinned package.

A known vulnerability fails. A service that cannot be reached, or does not know a package, is said aloud and
does not fail: what was not checked must be seen, and a network that is down is no defect of the code.
"""

import json
import subprocess
import sys

AUDIT = [
    sys.executable, "-m", "pip_audit", "--requirement", "constraints.txt", "--no-deps", "--disable-pip",
    "--progress-spinner", "off", "--format", "json", "--timeout", "10",
]  # fmt: skip

UNREACHABLE = ("requests.exceptions.", "urllib3.exceptions.", "ServiceError", "ConnectionError", "connect")


def main() -> int:
    """Run the audit and return the exit code: 1 for a finding, otherwise 0."""
    try:
        audit = subprocess.run(AUDIT, capture_output=True, text=True, check=False, timeout=240)  # noqa: S603 -- fixed arguments
    except subprocess.TimeoutExpired:
        return not_checked("the advisory service gave no answer in 240 s")
    try:
        packages = json.loads(audit.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        reason = (audit.stderr.strip() or "no answer").splitlines()[-1]
        if any(sign in reason for sign in UNREACHABLE):
            return not_checked(f"the advisory service cannot be reached ({reason.partition(':')[0]})")
        print(audit.stderr, file=sys.stderr)
        return 1

    findings = [(package, found) for package in packages for found in package.get("vulns", [])]
    for package, found in findings:
        fixed = ", ".join(found["fix_versions"]) or "no release yet"
        print(f"audit: {package['name']} {package['version']}: {found['id']}, fixed in: {fixed}")
    skipped = [package["name"] for package in packages if "skip_reason" in package]
    if len(skipped) == len(packages):
        not_checked("the advisory service knows none of them; it is not to be had from here")
    elif skipped:
        print(f"audit: NOT CHECKED, unknown to the advisory service: {', '.join(skipped)}")
    print(f"audit: {len(packages) - len(skipped)} packages checked, {len(findings)} vulnerabilities")
    return 1 if findings else 0


def not_checked(reason: str) -> int:
    """Say that the audit could not be done."""
    print(f"audit: NOT DONE, dependencies were not checked for known vulnerabilities: {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
