"""The verbs, in the order a delivery meets them: intake, fanout, dispatch, worker.

All branching is here; stores and sinks do not decide.
"""
