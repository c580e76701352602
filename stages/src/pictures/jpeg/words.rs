//! Why a JPEG cannot be read.

pub(super) fn truncated(why: &str) -> String {
    format!("a truncated JPEG: {why}")
}

pub(super) fn broken(why: &str) -> String {
    format!("a broken JPEG: {why}")
}

pub(super) fn unsupported(what: &str) -> String {
    format!("{what}, which cannot be read here: convert it to a usual JPEG or to PNG")
}
