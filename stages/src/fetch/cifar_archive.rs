//! The embedded data as a CIFAR-100 binary archive: a tar file in uncompressed gzip. It is written here byte by byte, so that its
//! digest does not depend on the machine or the version of a compressor.

use rayon::prelude::*;

use super::shapes::{self, Split};

/// Returns a `cifar-100-binary.tar.gz` with the first `train` training and `test` test pictures of `shapes100`.
pub(super) fn shapes100(train: u32, test: u32) -> Vec<u8> {
    let records = |split, n: u32| {
        let record = |index| {
            let (fine, pixels) = shapes::picture(split, index);
            let mut record = vec![fine / shapes::TEXTURES.len() as u8, fine];
            record.extend(pixels);
            record
        };
        (0..n).into_par_iter().map(record).collect::<Vec<_>>().concat()
    };
    let lines = |names: Vec<String>| (names.join("\n") + "\n").into_bytes();
    let coarse = shapes::SHAPES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let fine = shapes::SHAPES
        .iter()
        .flat_map(|(shape, _)| shapes::TEXTURES.iter().map(move |texture| format!("{shape}/{texture}")))
        .collect();
    let mut tar = Vec::new();
    for (name, content) in [
        ("coarse_label_names.txt", lines(coarse)),
        ("fine_label_names.txt", lines(fine)),
        ("test.bin", records(Split::Test, test)),
        ("train.bin", records(Split::Train, train)),
    ] {
        append(&mut tar, &format!("cifar-100-binary/{name}"), &content);
    }
    tar.extend([0; 1024]);
    gzip_stored(&tar)
}

/// Appends a file to a tar in the ustar format, with mode 644, owner 0 and time 0.
fn append(tar: &mut Vec<u8>, path: &str, content: &[u8]) {
    let mut header = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    tar.extend(header);
    tar.extend(content);
    tar.resize(tar.len().next_multiple_of(512), 0);
}

/// Returns `bytes` as one gzip member (RFC 1952; time 0, system unknown) of stored blocks (RFC 1951, section 3.2.4).
fn gzip_stored(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let blocks = bytes.chunks(0xffff);
    let last = blocks.len() - 1;
    for (at, block) in blocks.enumerate() {
        let length = block.len() as u16;
        gzip.push(u8::from(at == last));
        gzip.extend(length.to_le_bytes());
        gzip.extend((!length).to_le_bytes());
        gzip.extend(block);
    }
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    gzip.extend(crc.sum().to_le_bytes());
    gzip.extend(crc.amount().to_le_bytes());
    gzip
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read};

    use pipe_store::Digest;

    use super::*;

    fn files(archive: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
        let read = |entry: std::io::Result<tar::Entry<'_, _>>| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        };
        archive.entries().unwrap().map(read).collect()
    }

    /// Studies use the embedded dataset by its digest, so it must never change.
    #[test]
    fn the_digests_of_the_archives_do_not_change() {
        let digests = [shapes100(1, 1), shapes100(2000, 500)].map(|archive| Digest::of(&archive).to_string());
        assert_eq!(
            digests,
            [
                "c406e3bcb27e0631c5a62b2dcf9b1f0049856649fcdf2037a99a9e0f349873f8",
                "171b3ace27d41cd8934f2f79be22a0f82333792528b843832f8c049a3008c98d",
            ]
        );
    }

    #[test]
    fn a_larger_set_begins_with_the_smaller_one() {
        let (small, large) = (files(&shapes100(3, 200)), files(&shapes100(110, 2)));
        assert!(large["cifar-100-binary/train.bin"].starts_with(&small["cifar-100-binary/train.bin"]));
        assert!(small["cifar-100-binary/test.bin"].starts_with(&large["cifar-100-binary/test.bin"]));
        assert!(!large["cifar-100-binary/train.bin"].starts_with(&large["cifar-100-binary/test.bin"]));
    }

    #[test]
    fn classes_have_their_names_and_the_same_number_of_images() {
        let files = files(&shapes100(200, 100));
        let names = |name: &str| String::from_utf8(files[&format!("cifar-100-binary/{name}")].clone()).unwrap();
        assert_eq!(names("coarse_label_names.txt").lines().nth(1), Some("square"));
        assert_eq!(names("fine_label_names.txt").lines().nth(7), Some("square/banded"));
        for (name, each) in [("train", 2), ("test", 1)] {
            let records = &files[&format!("cifar-100-binary/{name}.bin")];
            let mut counts = [0; 100];
            for record in records.chunks_exact(3074) {
                assert_eq!(record[0], record[1] / 5);
                counts[usize::from(record[1])] += 1;
            }
            assert_eq!(counts, [each; 100], "{name}");
        }
    }
}
