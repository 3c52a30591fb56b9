"""Pictures for models that see, in the size that Amazon Bedrock takes."""

import io
import warnings
from collections.abc import Iterator
from typing import BinaryIO, Final, Literal, cast

import PIL.Image
from PIL import ImageOps, UnidentifiedImageError

from batchline.errors import Code, Refused
from batchline.formats import isolated
from batchline.formats.content import Image

# "Each image's size, height, and width must be no more than 3.75 MB, 8000 px, and 8000 px":
# https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Message.html
MAX_BYTES: Final = 3_750_000
MAX_EDGE: Final = 8_000
# More is refused unread: 100 megapixels take 400 MB of memory.
MAX_PIXELS: Final = 100_000_000
# Claude scales larger pictures down to this by itself:
# https://docs.claude.com/en/docs/build-with-claude/vision
PAGE_EDGE: Final = 1_568
QUALITY: Final = 85
SHRINK: Final = 0.75
FORMATS: Final = ("PNG", "JPEG", "WEBP", "GIF")
ORIENTATION: Final = 0x0112  # of EXIF; 1 is upright

type Kind = Literal["png", "jpeg", "webp", "gif"]


def read(stream: BinaryIO, name: str, *, size: int, rows: bool) -> Image:  # noqa: ARG001
    """Read a picture. Raises Refused(FILE_DAMAGED or FILE_TOO_COMPLEX)."""
    found = isolated.run(__name__, stream, what="picture")
    return cast("Image", next(found))


def parse(file: BinaryIO) -> Iterator[Image]:
    """Yield the picture as it is where Bedrock takes it so, else upright, smaller, as PNG or JPEG."""
    data = file.read()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)  # the size is looked at below
            picture = PIL.Image.open(io.BytesIO(data), formats=FORMATS)
            _refuse_absurd(picture)
            kind = cast("Kind", str(picture.format).lower())
            picture.load()  # all of it: what is cut short is found here, not by the model
    except UnidentifiedImageError as error:
        raise _damaged("its head cannot be read") from error
    except PIL.Image.DecompressionBombError as error:
        raise _too_many_pixels(str(error)) from error
    except (OSError, SyntaxError, ValueError, EOFError, IndexError) as error:
        raise _damaged("a part is missing or broken") from error
    if len(data) <= MAX_BYTES and max(picture.size) <= MAX_EDGE and _is_upright(picture):
        yield Image(kind, data)
    else:
        yield _fitted(ImageOps.exif_transpose(picture))


def jpeg(picture: PIL.Image.Image, *, page: int | None = None) -> Image:
    """Encode a picture that is small enough in its sides, as often as it takes to be so in its bytes."""
    picture = _opaque(picture)
    while True:
        data = io.BytesIO()
        picture.save(data, "JPEG", quality=QUALITY)
        if data.tell() <= MAX_BYTES:
            return Image("jpeg", data.getvalue(), page)
        picture = picture.resize(_scaled(picture.size, SHRINK))


def _refuse_absurd(picture: PIL.Image.Image) -> None:
    wide, high = picture.size
    if wide * high > MAX_PIXELS:
        raise _too_many_pixels(f"{wide:,} x {high:,} pixels")


def _is_upright(picture: PIL.Image.Image) -> bool:
    return bool(picture.getexif().get(ORIENTATION, 1) == 1)


def _fitted(picture: PIL.Image.Image) -> Image:
    """Scale a picture down to what is taken; PNG keeps drawings sharp where it is small enough."""
    factor = min(1, MAX_EDGE / max(picture.size))
    if factor < 1:
        picture = picture.resize(_scaled(picture.size, factor))
    if picture.mode in {"1", "L", "LA", "P", "PA", "RGBA"}:
        data = io.BytesIO()
        picture.save(data, "PNG")
        if data.tell() <= MAX_BYTES:
            return Image("png", data.getvalue())
    return jpeg(picture)


def _scaled(size: tuple[int, int], factor: float) -> tuple[int, int]:
    wide, high = size
    return max(1, int(wide * factor)), max(1, int(high * factor))


def _opaque(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Put a picture on white paper: JPEG has no transparency."""
    if picture.mode in {"RGB", "L"}:
        return picture
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    picture = picture.convert("RGBA")
    paper = PIL.Image.new("RGB", picture.size, "white")
    paper.paste(picture, mask=picture.getchannel("A"))
    return paper


def _damaged(how: str) -> Refused:
    return Refused(Code.FILE_DAMAGED, f"The picture is damaged: {how}. Save it anew and upload that.")


def _too_many_pixels(what: str) -> Refused:
    return Refused(
        Code.FILE_TOO_COMPLEX,
        f"The picture has more than {MAX_PIXELS:,} pixels ({what}). Save it smaller and upload that.",
    )
