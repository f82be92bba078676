"""Development stack: embedded stores, the service's processes, the sandbox and the demo.

The service never imports it, and production does not need it.
"""
