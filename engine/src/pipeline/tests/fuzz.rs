//! Hostile and unusual texts are read or refused, without a panic, and every mistake has a place in a text. `tests/fuzz` has more of
//! them.

use super::{Rendering, TINY, accepted, edited, read};
use crate::pipeline::{
    expand::{Downloads, expand},
    read::text,
};

const DEFAULT: &str = include_str!("../../../../pipeline.ron");

/// Reads and expands `text`. If it is refused, checks that every mistake lies inside its source and can be shown.
fn survive(text: &str) {
    let refused = match read("pipeline.ron", text, &[]) {
        Ok(pipeline) => return drop(expand(&pipeline, &Downloads::default())),
        Err(refused) => refused,
    };
    assert!(!refused.mistakes.is_empty(), "refused without a mistake: {text}");
    for mistake in &refused.mistakes {
        let span = mistake.span.expect("every mistake has a place");
        let source = &refused.sources[span.source].text;
        assert!(source.get(span.start..span.end).is_some(), "{mistake:?} is outside of: {text}");
    }
    assert!(refused.render(Rendering::Plain).starts_with("error: "));
}

#[test]
fn deep_nesting_is_refused() {
    for open in ["[", "(", "{\"a\":", "Some(", "ForEach(k:", "ForEach(", "A(", "(a:", "/*", "((", "[{\"a\":("] {
        let deep = open.repeat(20_000);
        survive(&deep);
        survive(&edited(&[("RandomFlip(0.5)", &deep)]));
    }
    let closed = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    survive(&edited(&[("RandomFlip(0.5)", &closed)]));
    assert!(read("pipeline.ron", &closed, &[]).is_err());
}

#[test]
fn a_text_that_is_too_large_is_refused() {
    let large = " ".repeat(300 << 10) + TINY;
    survive(&large);
    let found = read("f.ron", &large, &[]).expect_err("it is too large").render(Rendering::Plain);
    assert!(found.starts_with("error: the file has ") && found.contains("expected at most 262144"), "{found}");
    let stages: Vec<String> = (0..1001).map(|i| format!("\"s{}\": Retrain(of: \"s{i}\")", i + 1)).collect();
    let chain = |n: usize| format!("Study(name: \"a\", stages: {{{}}})", stages[..n].join(", "));
    let found = read("f.ron", &chain(1001), &[]).expect_err("there are too many").render(Rendering::Plain);
    assert!(found.contains("error: found 1001 stages") && found.contains("expected at most 1000"), "{found}");
    survive(&chain(1000));
}

#[test]
fn of_many_mistakes_a_hundred_are_shown() {
    let fields: Vec<String> = (0..150).map(|i| format!("f{i}: 1")).collect();
    let text = format!("Study(name: \"a\", stages: [], {})", fields.join(", "));
    let found = read("f.ron", &text, &[]).expect_err("the fields are unknown").render(Rendering::Plain);
    assert_eq!(found.matches("error: unknown field").count(), 100);
    assert!(found.trim_end().ends_with("error: and 50 more"), "{found}");
}

#[test]
fn line_ends_tabs_and_a_byte_order_mark_do_not_matter() {
    let record = accepted(DEFAULT).record();
    let other = format!("\u{feff}{}", DEFAULT.replace('\n', "\r\n").replace("    ", "\t"));
    assert_eq!(accepted(&other).record(), record);
}

#[test]
fn a_place_is_right_after_non_ascii_letters_and_other_line_ends() {
    let text = "\u{feff}Study(/* é */ name: \"a\",\r\n\tsede: 1, stages: [])";
    let found = read("f.ron", text, &[]).expect_err("it is wrong").render(Rendering::Plain);
    assert_eq!(
        found,
        "error: unknown field `sede`\n --> f.ron:2:2\n  |\n2 |     sede: 1, stages: [])\n  |     ^^^^ expected `commands`, \
         `device`, `name`, `precision`, `seed` or `stages`\n  |\n  = help: did you mean `seed`?\n\n"
    );
}

#[test]
fn a_file_with_nothing_in_it_or_with_bytes_that_are_not_text_is_refused_at_its_place() {
    let check = |bytes: &[u8], expected: &str| {
        let refused = match text("f.ron", bytes.to_vec()) {
            Ok(text) => read("f.ron", &text, &[]).expect_err("it is wrong"),
            Err(refused) => refused,
        };
        let found = refused.render(Rendering::Plain);
        let (message, place) = (found.lines().next().unwrap(), found.lines().nth(1).unwrap());
        assert_eq!(format!("{message}{place}"), format!("error: {expected}"), "{found}");
        assert!(found.chars().all(|c| !c.is_control() || c == '\n'), "{found:?}");
    };
    for nothing in ["", "\u{feff}", "\n\n", "// only", "// only\n", "/* a */ // b", "\r\n\t"] {
        check(nothing.as_bytes(), "there is nothing but comments and space --> f.ron:1:1");
    }
    check(b"/* a", "unclosed block comment --> f.ron:1:3");
    check(b"Study(\0)", "unexpected char '\\0' --> f.ron:1:7");
    check(b"// \xc3\xa9\nStudy(\xff)", "the byte 0xff is not UTF-8 --> f.ron:2:7");
    check(b"Study(name: \"\xc3\")", "the byte 0xc3 is not UTF-8 --> f.ron:1:14");
    check(b"\xff\xfeS\0", "the byte 0xff is not UTF-8 --> f.ron:1:1");
    check(b"Study(\x1b[2J: 1)", r"unexpected char '\u{1b}' --> f.ron:1:7");
}

#[test]
fn strings_may_be_raw() {
    let raw = edited(&[("\"tiny\"", "r#\"tiny\"#"), ("\"raw\"", "r\"raw\"")]);
    assert_eq!(accepted(&raw).record(), accepted(TINY).record());
}
