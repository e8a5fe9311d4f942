"""The state table, walked whole; and what the owner alone may do."""

from itertools import product

import pytest

from device.consent.states import OPEN, TABLE, NoSuchStep, State, Step, after

ENDS = {
    State.REJECTED,
    State.UNMATCHED,
    State.DECLINED,
    State.EXPIRED,
    State.CANCELLED,
    State.DELIVERED,
    State.WITHDRAWN,
    State.FAILED,
}
AS_PROMISED = """
received: rejected unmatched offered
offered: declined expired cancelled approved
approved: sealed withdrawn failed expired
sealed: handed over, withdrawn failed expired
handed over: delivered withdrawn failed expired
"""


def test_every_cell_of_the_table_does_its_step() -> None:
    promised: dict[str, set[str]] = {}
    for line in AS_PROMISED.strip().splitlines():
        state, _, rest = line.partition(": ")
        promised[state] = {word.strip(" ,") for word in rest.replace("handed over,", "handed_over").split()}
    for state, step in product(State, Step):
        if step in TABLE[state]:
            assert str(after(state, step)).replace(" ", "_") in promised[str(state)]
        else:
            with pytest.raises(NoSuchStep) as error:
                after(state, step)
            assert str(state) in str(error.value)
    reached = {state: {str(to).replace(" ", "_") for to in steps.values()} for state, steps in TABLE.items()}
    assert {str(state): to for state, to in reached.items() if to} == promised


def test_final_states_have_no_next_state() -> None:
    assert {state for state in State if not TABLE[state]} == ENDS
    assert set(State) - ENDS == OPEN


def test_nothing_is_sealed_or_sent_without_an_approval() -> None:
    """Take the approval out of the table: then no state beyond it can be reached."""
    found, frontier = {State.RECEIVED}, [State.RECEIVED]
    while frontier:
        state = frontier.pop()
        for step, to in TABLE[state].items():
            if step is not Step.APPROVE and to not in found:
                found.add(to)
                frontier.append(to)
    assert found == {
        State.RECEIVED,
        State.REJECTED,
        State.UNMATCHED,
        State.OFFERED,
        State.DECLINED,
        State.EXPIRED,
        State.CANCELLED,
    }
