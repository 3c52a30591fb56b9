"""What all tests share: how hard hypothesis tries."""

from hypothesis import HealthCheck, settings

# No deadline: other work on the machine must not fail a test. The same examples on every run.
settings.register_profile(
    "suite",
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile("thorough", settings.get_profile("suite"), max_examples=2_000, derandomize=False)
settings.load_profile("suite")
