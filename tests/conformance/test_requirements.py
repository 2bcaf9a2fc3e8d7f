"""Every requirement, measured on every kind of NAT: it holds exactly where the table says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from document import PAGE, page
from requirements import KINDS, PATIENCE, REQUIREMENTS, Bench

from patchbay import Lab


def measure(requirement, bench, kind):
    """Whether it holds; what is to arrive may be late on a busy host, and is waited for."""
    holds = requirement.measure(bench)
    if kind in requirement.holds and not holds:
        return requirement.measure(replace(bench, patience=PATIENCE))
    return holds


@pytest.mark.parametrize("kind", KINDS)
def test_it_holds_where_the_table_says(kind):
    with Lab("conformance") as lab:
        with lab.batch():
            dc = lab.add_router("dc")
            lab.add_router("home", nat=KINDS[kind])
            for name, router in (("one", dc), ("two", dc), ("laptop", "home"), ("desk", "home")):
                lab.add_device(name, router)
        bench = Bench(lab)

        measured = {(each.name, each.text): measure(each, bench, kind) for each in REQUIREMENTS}

    assert measured == {(each.name, each.text): kind in each.holds for each in REQUIREMENTS}


def test_the_page_of_the_documentation_is_the_table():
    assert PAGE.read_text() == page(), "run python tests/conformance/document.py"


def test_every_requirement_can_be_seen_to_fail_or_has_no_setting_that_breaks_it():
    """A row that holds for all is one that nothing here can switch off."""
    always = {each.measure.__name__ for each in REQUIREMENTS if each.holds == frozenset(KINDS)}
    assert always == {
        "nothing_shared",
        "payload_is_left_alone",
        "the_same_under_clash_and_after_flush",
        "icmp_leaves_mappings_be",
        "fragments_pass",
        "fragments_pass_in_any_order",
        "too_long_is_told_or_cut",
        "syns_cross",
        "tcp_payload_is_left_alone",
        "nothing_shared_in_tcp",
        "errors_leave_connections_be",
        "times_are_exceeded",
        "unsolicited_syns_are_not_answered",
        "echoes_pass",
        "errors_of_anyone_pass",
        "errors_about_nothing_are_dropped",
        "errors_from_inside_show_no_inside_address",
    }
