//! The table of drop reasons in the documentation is the one of the code.

use bridge::{DropReason, Side};

#[test]
fn every_drop_reason_stands_in_the_documentation_word_for_word() {
    let page = include_str!("../../../docs/counters.md");
    let documented: Vec<&str> =
        page.lines().skip_while(|line| !line.starts_with("| reason")).skip(2).collect();
    let coded: Vec<String> = DropReason::ALL
        .iter()
        .map(|reason| {
            let side = if reason.side() == Side::Ingress { "ingress" } else { "egress" };
            format!("| `{reason}` | {side} | {} | {} |", reason.explanation(), reason.hint())
        })
        .collect();
    assert_eq!(documented, coded, "put these lines into docs/counters.md");
}
