"""Prices as a stack keeps them, and as AWS publishes them to everybody."""

import gzip
import http.client
import json
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import boto3
from botocore.exceptions import ClientError

from batchline.aws.dynamo import code_of
from batchline.aws.objects import Work
from batchline.errors import BatchlineError
from batchline.money.prices import FILE, PriceList

# Nobody needs credentials for these: https://docs.aws.amazon.com/awsaccountbilling/latest/aboutv2/price-changes.html
OFFERS: Final = "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws"
# Amazon's and open models; models sold through the Marketplace, as Claude; some newer ones.
CODES: Final = ("AmazonBedrock", "AmazonBedrockFoundationModels", "AmazonBedrockService")
PATIENCE_SECONDS: Final = 60
MISSING: Final = frozenset({"NoSuchKey", "404"})


class OffersError(BatchlineError):
    """AWS's price lists cannot be read; the message says which and why. Try again or take another source."""


def load(work: Work) -> PriceList:
    """Read what a stack keeps of its own; nothing when nobody has. Raises PricesError."""
    try:
        data = work.get(FILE)
    except ClientError as error:
        if code_of(error) in MISSING:
            return PriceList()
        raise
    return PriceList.load(data, f"{FILE} in the work bucket")


def save(work: Work, prices: PriceList) -> None:
    """Keep prices. Functions read them when they start."""
    work.put(FILE, prices.dump().encode())


def region() -> str:
    """Name the Region whose prices are asked for: the one that is set, or the first of all."""
    return boto3.Session().region_name or "us-east-1"


def offers(region: str, root: str = OFFERS) -> Iterator[Mapping[str, Any]]:
    """Fetch what AWS publishes of Bedrock's prices in a Region. Raises OffersError."""
    for code in CODES:
        url = f"{root}/{code}/current/{region}/index.json"
        request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})  # noqa: S310 - see OFFERS
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as reply:  # noqa: S310
                packed = reply.headers["Content-Encoding"] == "gzip"
                yield json.loads(gzip.decompress(reply.read()) if packed else reply.read())
        except (OSError, EOFError, http.client.HTTPException, zlib.error, ValueError) as error:
            raise OffersError(f"{url} cannot be read: {error}.") from error
