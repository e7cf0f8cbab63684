"""What a training program calls: `import baton`, then `baton.init()`. It needs the standard library only.

`run` is the interface. A run stands on a worker (`attached`, by the messages of `protocol`) or on a folder (`local`).
"""
