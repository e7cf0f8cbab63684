"""Calls of the Python SDK about code bundles. Asynchronous.

Generated from baton/client/code.py by scripts/async_client.py: change it there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from baton.client.aio.transport import Transport

if TYPE_CHECKING:
    from baton.client.packing.push import CodePushed


class CodeCalls:
    """The calls about the code of programs. They need the scope `programs`. Raise `Unreachable` and `ApiError`."""

    _transport: Transport

    async def push_code(self, folder: str | Path) -> CodePushed:
        """Packs the folder of a program and sends it, unless the service has it. `.code` of the answer is for a spec.

        What git ignores is left out, and files that look like secrets: `left_out` names them.

        Raises:
            LocalDataError: the folder has no file to pack, or more than a bundle may have.
            ApiError: status 507 if the service's space for code is used up.
        """
        from baton.client.packing.push import push_code  # imported here: most programs do not need it

        return await self._transport.blocking(push_code, Path(folder).expanduser())
