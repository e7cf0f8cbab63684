"""Signs URLs with obstore."""

from datetime import timedelta
from typing import Literal
from urllib.parse import quote

import obstore
from obstore.exceptions import GenericError, NotSupportedError

from baton.storage.object_vendors import Client, Vendor


def signed(client: Client, vendor: Vendor, method: Literal["GET", "PUT"], path: str, expires: timedelta) -> str | None:
    """Return a URL that is valid for one method and object. None if the credentials cannot sign. Raises the library's
    exceptions.
    """
    if not vendor.signs_escaped and quote(path) != path:
        return None
    try:
        return str(obstore.sign(client, method, path, expires))
    except NotSupportedError:
        return None
    except GenericError as error:
        if "with SAS tokens" in str(error):  # Azure: a SAS token cannot sign another one
            return None
        raise
