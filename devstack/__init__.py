"""Development stack: embedded stores, the service's processes, the sandbox and the demo.

For demos, development and tests only: the service does not import it.
"""
