//! Tests of whole containers, which they make themselves.

use std::io::Write;

use ::tar::EntryType;

use super::{testing::*, *};
use crate::stage::StageError;

/// Returns the entries of one file.
fn read(bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    entries(&[("archive", bytes)]).map_err(|error| error.to_string())
}

fn check(bytes: &[u8], expected: &[(&str, &str)]) {
    let found = read(bytes).unwrap();
    let found: Vec<_> = found.iter().map(|(path, what)| (path.as_str(), what.as_str())).collect();
    assert_eq!(found, expected);
}

fn check_refused(bytes: &[u8], expected: &str) {
    assert_eq!(read(bytes).unwrap_err(), expected);
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    // The crate cannot write without a feature that nothing else needs, so the block of a stored LZMA2 chunk is written here.
    let crc32 = |bytes: &[u8]| flate2::Crc::new().sum_of(bytes);
    let mut file = b"\xfd7zXZ\0\0\0".to_vec();
    file.extend(crc32(&[0, 0]).to_le_bytes());
    let mut header = vec![2, 0, 0x21, 1, 16, 0, 0, 0];
    header.extend(crc32(&header.clone()).to_le_bytes());
    let begins = file.len();
    file.extend(&header);
    file.extend([1]);
    file.extend(((bytes.len() - 1) as u16).to_be_bytes());
    file.extend(bytes);
    file.extend([0]);
    let unpadded = file.len() - begins;
    file.resize(file.len().next_multiple_of(4), 0);
    let variable = |mut n: usize| {
        let mut bytes = Vec::new();
        while n >= 0x80 {
            bytes.push((n & 0x7f) as u8 | 0x80);
            n >>= 7;
        }
        bytes.push(n as u8);
        bytes
    };
    let mut index = vec![0, 1];
    index.extend(variable(unpadded));
    index.extend(variable(bytes.len()));
    index.resize(index.len().next_multiple_of(4), 0);
    index.extend(crc32(&index.clone()).to_le_bytes());
    let mut footer = ((index.len() / 4 - 1) as u32).to_le_bytes().to_vec();
    footer.extend([0, 0]);
    file.extend(&index);
    file.extend(crc32(&footer).to_le_bytes());
    file.extend(&footer);
    file.extend(b"YZ");
    file
}

trait SumOf {
    fn sum_of(self, bytes: &[u8]) -> u32;
}

impl SumOf for flate2::Crc {
    fn sum_of(mut self, bytes: &[u8]) -> u32 {
        self.update(bytes);
        self.sum()
    }
}

fn bzip2(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ::bzip2::write::BzEncoder::new(Vec::new(), ::bzip2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(bytes, 1).unwrap()
}

#[test]
fn every_container_is_told_by_its_content() {
    let files: [(&str, &[u8]); 2] = [("a/1", b"one"), ("b/2", b"two")];
    let tar = tar(&files);
    let expected = [("a/1", "one"), ("b/2", "two")];
    check(&tar, &expected);
    for pack in [gzip, xz, bzip2, zstd] {
        check(&pack(&tar), &expected);
        check(&pack(b"plain"), &[("archive", "plain")]);
        check(&gzip(&pack(&tar)), &expected);
    }
    for method in
        [::zip::CompressionMethod::Stored, ::zip::CompressionMethod::Deflated, ::zip::CompressionMethod::Bzip2]
    {
        check(&zip(&files, method), &expected);
    }
    check(b"plain", &[("archive", "plain")]);
    check(&[0; 1024], &[]);
    check(&zip(&[], ::zip::CompressionMethod::Stored), &[]);
    check_refused(&gzip(&gzip(&gzip(&gzip(b"x")))), "the file is packed more than 3 times");
    check_refused(
        &gzip(&zip(&files, ::zip::CompressionMethod::Stored)),
        "the file is a zip archive inside another container",
    );
}

#[test]
fn several_files_are_read_as_one_container() {
    let found = entries(&[("labels.csv", b"x,y"), ("pictures", &archive(&[("a/1", b"one")]))]).unwrap();
    assert_eq!(found, [("labels.csv".into(), "x,y".into()), ("a/1".into(), "one".into())]);
    let error = entries(&[("a", b"x"), ("b", b"Rar!\x1a\x07\x01")]).unwrap_err().to_string();
    assert_eq!(error, "`b`: the file is a RAR archive");
}

#[test]
fn a_gzip_file_may_have_several_members_and_something_behind() {
    let whole = tar(&[("a", b"1"), ("b", b"2")]);
    let expected = [("a", "1"), ("b", "2")];
    let members: Vec<u8> = whole.chunks(700).flat_map(gzip).collect();
    check(&members, &expected);
    check(&[&members[..], &gzip(b"")].concat(), &expected);
    check(&[&members[..], &[0; 512]].concat(), &expected);
    check(&[&members[..], &[0; 512], &gzip(&[0; 512])].concat(), &expected);
    check(&[&members[..], b"text"].concat(), &expected);
}

#[test]
fn what_is_no_container_is_named() {
    for (bytes, expected) in [
        (&b"7z\xbc\xaf\x27\x1c\0\x04"[..], "the file is a 7z archive"),
        (b"", "the file is empty"),
        (b"\n<!DOCTYPE html><html>", "the file is an HTML page that begins `<!DOCTYPE html><html>`"),
        (
            b"<?xml version=\"1.0\"?><Error>",
            "the file is an XML document that begins `<?xml version=\\\"1.0\\\"?><Error>`",
        ),
        (b"version https://git-lfs.github.com/spec/v1\n", "the file is a pointer of Git LFS"),
    ] {
        check_refused(bytes, expected);
    }
}

#[test]
fn links_are_told_with_their_targets() {
    let bytes = [
        entry(b"images/1", EntryType::Regular, b"one"),
        link("a/1", EntryType::Symlink, "../images/1"),
        link("a/2", EntryType::Link, "images/1"),
        link("a/3", EntryType::Symlink, "/etc/passwd"),
        link("a/4", EntryType::Symlink, "../../x"),
        entry(b"a/5", EntryType::Fifo, b""),
        entry(b"b/", EntryType::Directory, b""),
    ];
    let expected = [
        ("images/1", "one"),
        ("a/1", "-> images/1"),
        ("a/2", "-> images/1"),
        ("a/3", "(link)"),
        ("a/4", "(link)"),
        ("a/5", "(other)"),
        ("b", "(folder)"),
    ];
    check(&bytes.concat(), &expected);
    check_refused(&entry(b"a", EntryType::Char, b""), "entry `a` is a device, expected files, folders and links");
    check_refused(&entry(b"a", EntryType::Block, b""), "entry `a` is a device, expected files, folders and links");
}

#[test]
fn labels_dump_directories_and_names_in_latin_1_stop_nothing() {
    let mut label = entry(b"vol", EntryType::new(b'V'), b"");
    label[124..136].fill(0);
    let mut header = ::tar::Header::new_ustar();
    header.as_mut_bytes().copy_from_slice(&label);
    header.set_cksum();
    let bytes = [
        header.as_bytes().to_vec(),
        entry(b"r/", EntryType::new(b'D'), b"Yfile\0\0"),
        entry(b"caf\xe9", EntryType::Regular, b"1"),
        entry("A\u{308}".as_bytes(), EntryType::Regular, b"2"),
    ];
    check(&bytes.concat(), &[("r", "(folder)"), ("caf\\xe9", "1"), ("\u{c4}", "2")]);
}

#[test]
fn long_names_are_read() {
    let long = "x/".repeat(100) + "y";
    let gnu =
        [entry(b"@", EntryType::GNULongName, format!("{long}\0").as_bytes()), entry(b"x", EntryType::Regular, b"1")];
    check(&gnu.concat(), &[(&long, "1")]);
    let record = format!("path={long}\n");
    let record = format!("{} {record}", record.len() + 4);
    let pax = [entry(b"p", EntryType::XHeader, record.as_bytes()), entry(b"x", EntryType::Regular, b"1")];
    check(&pax.concat(), &[(&long, "1")]);
}

#[test]
fn sparse_files_are_read_with_their_holes() {
    let expected = [("s", "\\x00\\x00ab\\x00\\x00\\x00cd\\x00")];
    let records = |records: &[&str]| -> Vec<u8> {
        records.iter().flat_map(|record| format!("{} {record}\n", record.len() + 4).into_bytes()).collect()
    };
    let pax = |about: &[&str], data: &[u8]| {
        [entry(b"p", EntryType::XHeader, &records(about)), entry(b"GNUSparse/s", EntryType::Regular, data)].concat()
    };
    let (name, size) = ("GNU.sparse.name=s", "GNU.sparse.realsize=10");
    let mut data = b"2\n2\n2\n7\n2\n".to_vec();
    data.resize(512, 0);
    data.extend(b"abcd");
    check(&pax(&["GNU.sparse.major=1", "GNU.sparse.minor=0", name, size], &data), &expected);
    check(&pax(&["GNU.sparse.map=2,2,7,2", name, "GNU.sparse.size=10"], b"abcd"), &expected);
    let mut header = ::tar::Header::new_gnu();
    header.set_path("s").unwrap();
    header.set_entry_type(EntryType::GNUSparse);
    header.set_size(4);
    header.set_mode(0o644);
    let gnu = header.as_gnu_mut().unwrap();
    for (piece, (offset, length)) in gnu.sparse.iter_mut().zip([(2, 2), (7, 2)]) {
        piece.set_offset(offset);
        piece.set_length(length);
    }
    gnu.set_real_size(10);
    header.set_cksum();
    check(&with_content(&header, b"abcd"), &expected);
    check_refused(
        &pax(&["GNU.sparse.map=2,2,3,2", name, "GNU.sparse.size=10"], b"abcd"),
        "entry `s`: the pieces of the sparse file do not follow each other",
    );
    check_refused(
        &pax(&["GNU.sparse.map=0,5", name, "GNU.sparse.size=10"], b"abcd"),
        "entry `s`: the map of the sparse file does not fit its data",
    );
}

#[test]
fn paths_that_lead_out_or_occur_twice_are_refused() {
    let file = EntryType::Regular;
    check_refused(&entry(b"/etc/passwd", file, b"x"), "entry `/etc/passwd` has an absolute path");
    check_refused(&entry(b"a/../../b", file, b"x"), "entry `a/../../b` has `..` in its path");
    check_refused(&entry(b"a\\b", file, b"x"), "entry `a\\\\b` has a backslash or a zero byte in its path");
    check_refused(&tar(&[("a/b", b"1"), ("a/./b", b"1")]), "entry `a/b` occurs twice");
    check_refused(&tar(&[("\u{c4}", b"1"), ("A\u{308}", b"1")]), "entry `\u{c4}` occurs twice");
    check_refused(&zip(&[("../a", b"1")], ::zip::CompressionMethod::Stored), "entry `../a` has `..` in its path");
    check(&zip(&[("a\\b", b"1")], ::zip::CompressionMethod::Stored), &[("a/b", "1")]);
}

#[test]
fn a_file_of_a_zip_archive_may_be_broken_alone() {
    let mut bytes = zip(&[("a", b"first"), ("b", b"second")], ::zip::CompressionMethod::Stored);
    let at = bytes.windows(5).position(|window| window == b"first").unwrap();
    bytes[at] = b'F';
    let found = read(&bytes).unwrap();
    assert!(found[0].1.starts_with("(broken: "), "{found:?}");
    assert_eq!(found[1], ("b".into(), "second".into()));
}

#[test]
fn truncated_and_broken_archives_are_refused() {
    let whole = entry(b"a", EntryType::Regular, &[7; 600]);
    check_refused(&whole[..600], "entry `a` is truncated: found 88 bytes, expected 600");
    let noise: Vec<u8> =
        (0..20_000_u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).take(9_000).collect();
    let good = archive(&[("a", &noise)]);
    let cut = read(&good[..good.len() - 9]).unwrap_err();
    assert!(cut.starts_with("the archive is broken after entry `a`: "), "{cut}");
    let short = archive(&[("a", b"1")]);
    assert_eq!(read(&short[..short.len() - 9]).unwrap_err(), "the file is broken: incomplete deflate stream");
    let mut flipped = good;
    let at = flipped.len() - 8;
    flipped[at] ^= 1;
    let corrupt = read(&flipped).unwrap_err();
    assert!(corrupt.starts_with("the archive is broken after entry `a`: "), "{corrupt}");
    let mut behind = tar(&[("a", b"1")]);
    behind.extend(entry(b"b", EntryType::Regular, b"2"));
    check_refused(&behind, "there is data past the end of the archive, after entry `a`");
    let mut wrong = tar(&[("a", b"1"), ("b", b"2")]);
    wrong[1024] ^= 1;
    check_refused(&wrong, "the archive is broken after entry `a`: a header has a wrong checksum");
}

#[test]
fn a_header_that_does_not_end_is_refused() {
    for kind in [EntryType::GNULongName, EntryType::XHeader] {
        let bytes = [entry(b"a", kind, &vec![b'x'; 2 << 20]), entry(b"b", EntryType::Regular, b"1")].concat();
        check_refused(&bytes, "the archive is broken at its start: a header is longer than 1048576 bytes");
    }
    let long = [entry(b"a", EntryType::GNULongName, &[b'x'; 5000]), entry(b"b", EntryType::Regular, b"1")];
    check_refused(&long.concat(), "the entry at its start has a path of 5000 bytes, expected at most 4096");
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let with_size = |octal: &[u8]| {
        let mut bytes = entry(b"a", EntryType::Regular, b"1");
        bytes[124..124 + octal.len()].copy_from_slice(octal);
        let mut header = ::tar::Header::new_ustar();
        header.as_mut_bytes().copy_from_slice(&bytes[..512]);
        header.set_cksum();
        bytes[..512].copy_from_slice(header.as_bytes());
        read(&bytes).unwrap_err()
    };
    assert_eq!(with_size(b"77777777777\0"), "entry `a` is 8589934591 bytes long, expected at most 268435456");
    assert_eq!(with_size(b"00000001700\0"), "entry `a` is truncated: found 512 bytes, expected 960");
    for size in [&[0xff; 12], b"-0000000001\0", &[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]] {
        let error = with_size(size);
        assert!(error.contains("entry `a` is") || error.contains("broken at its start"), "{error}");
    }
}

/// Reads a file within limits.
fn visit(bytes: &[u8], limits: Limits) -> Result<(), String> {
    let mut take = |entry: Entry<'_>| match entry.kind {
        EntryKind::File(content) => content.digest(10, |_| false, 0).map(drop).map_err(StageError::from),
        _ => Ok(()),
    };
    let behind = Cell::new(false);
    let mut visitor = Visitor::new(limits, &behind, &mut take);
    visit_file("archive", bytes, &mut visitor).map_err(|error| error.to_string())
}

#[test]
fn more_than_the_limits_is_refused() {
    let limits = Limits { total: 10_000, entries: 3, paths: 100 };
    let zeros = gzip(&vec![0; 1 << 20]);
    let n = zeros.len();
    let expected = format!("the file of {n} bytes unpacks to more than 10000 bytes, expected at most that");
    assert_eq!(
        visit(&gzip(&vec![1; 1 << 20]), limits).unwrap_err().split(" bytes unpacks").nth(1),
        expected.split(" bytes unpacks").nth(1)
    );
    let many = tar(&[("a", b"1"), ("b", b"1"), ("c", b"1"), ("d", b"1")]);
    assert_eq!(visit(&many, limits).unwrap_err(), "entry `d` is one too many, expected at most 3");
    let name = "x".repeat(60);
    let long = tar(&[(&name, b"1"), (&format!("y{name}"), b"1")]);
    assert_eq!(visit(&long, limits).unwrap_err(), format!("the paths up to `y{name}` have more than 100 bytes"));
    let large = archive(&[("a", &[0; 10_001])]);
    assert_eq!(visit(&large, limits).unwrap_err(), "entry `a` is 10001 bytes long, expected at most 10000");
    let zip = zip(&[("a", &[0; 6000]), ("b", &[0; 6000])], ::zip::CompressionMethod::Deflated);
    assert!(visit(&zip, limits).unwrap_err().contains("unpacks to more than 10000 bytes"));
}
