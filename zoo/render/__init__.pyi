"""What writes samples."""

from zoo.render.files import Extras as Extras
from zoo.render.files import check_output as check_output
from zoo.render.files import default_suffix as default_suffix
from zoo.render.files import write as write
from zoo.render.formats import FORMATS as FORMATS
