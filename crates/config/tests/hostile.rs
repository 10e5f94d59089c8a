//! No text makes the reader panic, and each problem it finds has a place in the text.

use std::time::{Duration, Instant};

use config::{Problems, from_arguments, parse};
use proptest::prelude::*;

/// Pieces of files, right and wrong, of which many files can be made.
const PIECES: &[&str] = &[
    "[bridge]\n",
    "[ports.lan]\n",
    "[ports.b]\n",
    "[ports]\n",
    "[[ports]]\n",
    "[[fdb]]\n",
    "[fdb]\n",
    "[x.y.z]\n",
    "[[fdb.x]]\n",
    "[ports.lan.x]\n",
    "name = \"a\"\n",
    "ageing_time = \"5m\"\n",
    "ageing_time = 0x7fffffffffffffff\n",
    "fdb_max = 5\n",
    "type = \"tap\"\n",
    "type = \"raw\"\n",
    "type = \"x\"\n",
    "device = \"tap0\"\n",
    "mtu = 1500\n",
    "host = true\n",
    "exclusive = false\n",
    "owner = -1\n",
    "mac = \"02:00:5e:10:00:01\"\n",
    "mac = \"\"\n",
    "port = \"lan\"\n",
    "port = 1979-05-27\n",
    "ports = 1\n",
    "fdb = [1, {}, []]\n",
    "fdb = [{mac = \"x\"}]\n",
    "ports.lan.type = \"tap\"\n",
    "lan = {type = \"tap\"}\n",
    "a.b = 1\n",
    "bridge = {name = \"x\", name = \"y\"}\n",
    "\"",
    "'",
    "\"\"\"",
    "'''",
    "=",
    "[",
    "]",
    "{",
    "}",
    "\n",
    "\r",
    "\r\n",
    "#",
    ".",
    ",",
    "ä",
    "\u{202e}",
    "\0",
    "\t",
    " ",
    "\u{feff}",
    "true",
    "1e999",
    "\\u0000",
    "[[",
    "]]",
    "x",
];

#[track_caller]
fn check(text: &str) {
    let Err(problems) = parse("sw.toml", text) else { return };
    check_places(&problems, text);
}

#[track_caller]
fn check_places(problems: &Problems, text: &str) {
    assert!(problems.len() > 0 && problems.iter().count() <= 100);
    let lines: Vec<&str> = text.split('\n').collect();
    for problem in problems {
        assert!(!problem.message.is_empty() && !problem.help.is_empty(), "{problem:?}");
        if problem.line > 0 {
            assert!(problem.span.end <= text.len(), "{problem:?}");
            let source = lines[problem.line - 1].trim_end_matches('\r');
            assert_eq!(problem.source, source);
            assert!(problem.column <= lines[problem.line - 1].chars().count() + 1, "{problem:?}");
        }
    }
    let shown = problems.render(true);
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n' && c != '\x1b'), "{shown:?}");
    assert!(!problems.to_string().contains('\x1b'));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn pieces_of_files(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        check(&pieces.concat());
    }

    #[test]
    fn an_example_with_pieces_put_in_and_cut_out(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0..20usize, prop::sample::select(PIECES)), 1..6),
    ) {
        let mut text: Vec<char> = include_str!("../../../config/switchd.toml").replace("\n#", "\n").chars().collect();
        for (at, cut, piece) in edits {
            let start = at.index(text.len());
            let end = (start + cut).min(text.len());
            text.splice(start..end, piece.chars());
        }
        check(&text.into_iter().collect::<String>());
    }

    #[test]
    fn any_arguments(
        name in any::<Option<String>>(),
        taps in prop::collection::vec(any::<String>(), 0..4),
        raws in prop::collection::vec(any::<String>(), 0..4),
    ) {
        if let Err(problems) = from_arguments(name.as_deref(), &taps, &raws) {
            prop_assert!(problems.render(true).chars().all(|c| !c.is_control() || c == '\n' || c == '\x1b'));
        }
    }
}

/// Texts of the size limit that are costly for a careless reader: deep, wide, and wrong in every line.
#[test]
fn large_texts_take_neither_the_stack_nor_long() {
    let fill = |piece: &str| piece.repeat((1 << 20) / piece.len());
    let numbered = |piece: &dyn Fn(usize) -> String| {
        let mut text = String::new();
        for number in 0.. {
            let next = piece(number);
            if text.len() + next.len() > 1 << 20 {
                break;
            }
            text += &next;
        }
        text
    };
    let half = |text: &str| {
        text[..text.len() / 2].rsplit_once('\n').map_or("", |(lines, _)| lines).to_owned() + "\n"
    };
    let ports = numbered(&|n| format!("[ports.p{n}]\ntype = \"tap\"\n"));
    let entries = numbered(&|n| {
        format!(
            "[[fdb]]\nmac = \"02:00:00:{:02x}:{:02x}:{:02x}\"\nport = \"q{n}\"\n",
            n >> 16,
            n >> 8 & 255,
            n & 255
        )
    });
    for (what, text) in [
        ("deep list", format!("x = {}", "[".repeat((1 << 20) - 4))),
        ("deep inline table", format!("x = {}", "{a=".repeat(300_000))),
        ("deep key", format!("{}a = 1", "a.".repeat(500_000))),
        ("deep header", format!("[{}a]", "a.".repeat(500_000))),
        ("headers", fill("[a]\n")),
        ("array headers", fill("[[fdb]]\n")),
        ("keys", fill("a=1\n")),
        ("words", fill("a\n")),
        ("quotes", fill("\"\n")),
        ("ends", fill("\n")),
        ("one line", fill("=")),
        ("one key", fill("a")),
        ("ports", ports.clone()),
        ("entries without ports", entries.clone()),
        ("half ports, half entries", half(&ports) + &half(&entries)),
        ("deep ports", numbered(&|n| format!("[ports.p.{}x{n}]\n", "a.".repeat(70)))),
    ] {
        let start = Instant::now();
        check(&text);
        assert!(start.elapsed() < Duration::from_secs(30), "{what} took {:?}", start.elapsed());
    }
}
