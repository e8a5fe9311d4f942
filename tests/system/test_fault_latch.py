"""A fault is reported when something changes, and not in between."""

from device.events import Fact, Fault
from device.system.fault_latch import FaultLatch


def fault(text: str = "no answer", subject: str = "attic", *, active: bool = True) -> Fault:
    return Fault(code="backup", subject=subject, active=active, text=text)


def test_a_fault_is_reported_once_until_it_changes_and_once_when_it_ends() -> None:
    facts: list[Fact] = []
    latch = FaultLatch(facts.append)
    latch.end("backup", "attic")  # it never began
    for text in ("no answer", "no answer", "it is full", "it is full"):
        latch.report(fault(text))
    latch.end("backup", "attic")
    latch.end("backup", "attic")
    latch.report(fault())
    assert facts == [
        fault("no answer"),
        fault("it is full"),
        Fault(code="backup", subject="attic", active=False),
        fault("no answer"),
    ]


def test_the_end_of_one_subject_leaves_the_others() -> None:
    facts: list[Fact] = []
    latch = FaultLatch(facts.append)
    latch.report(fault(subject="attic"))
    latch.report(fault(subject="office"))
    latch.end("backup", "attic")
    latch.report(fault(subject="office"))
    assert facts[2:] == [Fault(code="backup", subject="attic", active=False)]


def test_the_faults_of_what_is_gone_end() -> None:
    facts: list[Fact] = []
    latch = FaultLatch(facts.append)
    latch.report(fault(subject="attic"))
    latch.report(fault(subject="office"))
    latch.end_except("backup", {"office"})
    assert facts[2:] == [Fault(code="backup", subject="attic", active=False)]
