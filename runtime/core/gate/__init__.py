"""Where policy, approval, quota and audit meet every call: `gate.py` is the one place."""
