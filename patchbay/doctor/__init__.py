"""What this host can do for labs, and how to mend what it lacks."""

from patchbay.doctor.host import capabilities as capabilities
from patchbay.doctor.report import Capability as Capability
from patchbay.doctor.report import Limit as Limit
from patchbay.doctor.report import Report as Report
