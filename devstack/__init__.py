"""The development stack: real stores from wheels, the service's processes, the sandbox, the demo.

Production does not need it; the service never imports it.
"""
