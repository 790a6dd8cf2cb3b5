"""What every test shares."""

from hypothesis import settings

# The machines that run these tests are shared, so a slow example is no sign of a fault.
settings.register_profile("shared-machine", deadline=None)
settings.load_profile("shared-machine")
