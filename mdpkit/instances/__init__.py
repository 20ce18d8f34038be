"""Named problems with known answers and their source, and generators of problems.

>>> from mdpkit import instances
>>> instances.make("riverswim?variant=ucrl2", n_states=8).n_states
8
>>> instances.info("howard-taxicab").known[0].value
Fraction(1588, 119)
"""

from mdpkit.instances import chains as chains
from mdpkit.instances import generators as generators
from mdpkit.instances import gridworlds as gridworlds
from mdpkit.instances import linear as linear
from mdpkit.instances import long_run as long_run
from mdpkit.instances import operations as operations
from mdpkit.instances import queues as queues
from mdpkit.instances import replacement as replacement
from mdpkit.instances import separations as separations
from mdpkit.instances import sequences as sequences
from mdpkit.instances import stopping as stopping
from mdpkit.instances import textbook as textbook
from mdpkit.instances.gridworlds import from_map
from mdpkit.instances.registry import Instance, Known, Parameter, info, instance, make, names, parse

__all__ = ["Instance", "Known", "Parameter", "from_map", "info", "instance", "make", "names", "parse"]
