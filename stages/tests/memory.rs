//! The memory that `decode` takes: a small multiple of the data for good archives, next to nothing for hostile ones. The
//! allocator of this test counts bytes.

#![expect(clippy::print_stdout, reason = "the figures of docs/reliability.md are printed with `--nocapture`")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    io::Write,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use image::ImageFormat;
use pipe_stages::{
    decode::Decode,
    pictures::{self, Reading},
    stage::{ComputeDevice, Context, Inputs, Outputs, QuietHost, Stage, StageError},
};
use pipe_store::MemoryObjects;

/// The allocator of the system, which counts the bytes that are allocated, and the most there were.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn count(added: usize, removed: usize) {
    let now = NOW.fetch_add(added, Relaxed).wrapping_add(added);
    PEAK.fetch_max(now, Relaxed);
    NOW.fetch_sub(removed, Relaxed);
}

// SAFETY: Every call is passed on to the allocator of the system. Counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: The caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: The caller keeps the contract of `dealloc`, and `at` is from `System`.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The bytes may be copied, so that both blocks exist for a moment.
        count(size, layout.size());
        // SAFETY: The caller keeps the contract of `realloc`, and `at` is from `System`.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Only one test runs at a time, because the allocator counts those of all threads.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

const MIB: usize = 1 << 20;

/// Decodes `files`, given by slot. Returns the outputs, and the most bytes that were allocated beyond `files`, and the
/// stage's estimate of that.
fn decode(params: &str, files: Vec<(&str, Vec<u8>)>) -> (Result<Outputs, StageError>, usize, usize) {
    let decode: Decode = serde_json::from_str(params).unwrap();
    let mut objects = MemoryObjects::default();
    let slots = files.into_iter().map(|(slot, bytes)| (slot.to_owned(), objects.put(bytes))).collect();
    let context = Context { seed: 0, device: ComputeDevice::CPU, host: &QuietHost };
    let inputs = Inputs::new(&slots, &objects);
    let estimate = decode.memory(&inputs).unwrap_or(0) as usize;
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let outputs = decode.run(&inputs, &context);
    (outputs, PEAK.load(Relaxed) - before, estimate)
}

/// Returns a gzip file of the parts, each repeated a number of times.
fn gzip(parts: &[(&[u8], usize)]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for (part, n) in parts {
        (0..*n).for_each(|_| encoder.write_all(part).unwrap());
    }
    encoder.finish().unwrap()
}

/// Returns the header of a file in a tar archive.
fn header(name: &str, size: usize) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name).unwrap();
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn entry(name: &str, content: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, content.len());
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// Returns a CIFAR-10 archive with `n` images in each of its six batches.
fn cifar10(n: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut tar = entry("batches.meta.txt", b"cat\ndog\n");
    for name in ["data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"] {
        let mut records = vec![0; n * 3073];
        random.fill(&mut records);
        records.chunks_mut(3073).for_each(|record| record[0] %= 2);
        tar.extend(entry(&format!("{name}.bin"), &records));
    }
    tar.extend([0; 1024]);
    gzip(&[(&tar, 1)])
}

/// Returns an IDX file of random bytes.
fn idx(sizes: &[u32]) -> Vec<u8> {
    let magic = 0x0800 | sizes.len() as u32;
    let head: Vec<u8> = [magic].iter().chain(sizes).flat_map(|word| word.to_be_bytes()).collect();
    let mut bytes = vec![0; sizes.iter().product::<u32>() as usize];
    fastrand::Rng::with_seed(2).fill(&mut bytes);
    gzip(&[(&head, 1), (&bytes, 1)])
}

/// Returns a PNG of one colour.
fn png(width: u32, height: u32) -> Vec<u8> {
    use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
    let mut png = Vec::new();
    let pixels = vec![7; (width * height * 3) as usize];
    PngEncoder::new(&mut png).write_image(&pixels, width, height, ExtendedColorType::Rgb8).unwrap();
    png
}

/// Returns an archive of `n` pictures in each of two folders.
fn folders(n: usize, picture: &[u8]) -> Vec<u8> {
    let mut tar = Vec::new();
    for folder in ["Training", "Test"] {
        (0..n).for_each(|i| tar.extend(entry(&format!("x/{folder}/a/{i}.png"), picture)));
    }
    tar.extend([0; 1024]);
    gzip(&[(&tar, 1)])
}

/// Returns a grey JPEG of three components, in one scan or progressive, whose blocks have no coefficients.
fn jpeg(side: u16, progressive: bool) -> Vec<u8> {
    let mut jpeg = b"\xff\xd8\xff\xdb\0\x43\0".to_vec();
    jpeg.extend([1; 64]);
    let [high, low] = side.to_be_bytes();
    jpeg.extend([0xff, if progressive { 0xc2 } else { 0xc0 }, 0, 17, 8, high, low, high, low, 3]);
    (1..=3).for_each(|id| jpeg.extend([id, 0x11, 0]));
    let blocks = usize::from(side.div_ceil(8)).pow(2);
    // By the usual codes, 00 says that a DC coefficient is the same as the last, and 1010 and 00 that AC coefficients are zeros.
    let mut scan = |components: &[u8], last: u8, data: Vec<u8>| {
        jpeg.extend([0xff, 0xda, 0, 6 + 2 * components.len() as u8, components.len() as u8]);
        components.iter().for_each(|id| jpeg.extend([*id, if *id == 1 { 0 } else { 0x11 }]));
        jpeg.extend([u8::from(last == 63 && progressive), last, 0]);
        jpeg.extend(data);
    };
    if progressive {
        scan(&[1, 2, 3], 0, vec![0; blocks * 6 / 8]);
        scan(&[1], 63, vec![0xaa; blocks * 4 / 8]);
        scan(&[2], 63, vec![0; blocks * 2 / 8]);
        scan(&[3], 63, vec![0; blocks * 2 / 8]);
    } else {
        // Four units of 00 1010, 00 00 and 00 00.
        scan(&[1, 2, 3], 63, [0x28, 0x00, 0xa0, 0x02, 0x80, 0x0a, 0x00].repeat(blocks / 4));
    }
    jpeg.extend(b"\xff\xd9");
    jpeg
}

fn mib(bytes: usize) -> f64 {
    bytes as f64 / MIB as f64
}

/// Checks that a data set of `tensors` bytes is decoded with at most `times` that, and at most the stage's own estimate.
#[track_caller]
fn check(name: &str, params: &str, files: Vec<(&str, Vec<u8>)>, tensors: usize, times: f64) {
    let (outputs, peak, estimate) = decode(params, files);
    outputs.unwrap();
    let found = peak as f64 / tensors as f64;
    println!("{name}: {:.1} MiB of tensors, peak {:.1} MiB, {found:.2} times", mib(tensors), mib(peak));
    assert!(found < times, "{name}: {found:.2} times the tensors");
    assert!(peak < estimate, "{name}: {:.1} MiB, estimated {:.1} MiB", mib(peak), mib(estimate));
}

/// Checks that a file is refused with `error`, and that less than `most` MiB are taken before.
#[track_caller]
fn refuse(name: &str, params: &str, files: Vec<(&str, Vec<u8>)>, most: f64, error: &str) {
    let packed = files[0].1.len();
    let (outputs, peak, _) = decode(params, files);
    let found = outputs.unwrap_err().to_string();
    println!("{name}: {packed} bytes, peak {:.1} MiB: {found}", mib(peak));
    assert!(found.contains(error), "{name}: {found}");
    assert!(mib(peak) < most, "{name}: peak {:.1} MiB", mib(peak));
}

const CIFAR10: &str = r#"{"format":"Cifar10"}"#;

#[test]
fn an_archive_of_cifar_takes_a_small_multiple_of_its_tensors() {
    let _alone = alone();
    let (archive, tensors) = (cifar10(2000), 6 * 2000 * 3072);
    check("CIFAR-10", r#"{"format":"Cifar10","validation":null}"#, vec![("archive", archive.clone())], tensors, 2.2);
    check("CIFAR-10 with validation", CIFAR10, vec![("archive", archive)], tensors, 2.2);
}

#[test]
fn idx_files_take_a_small_multiple_of_their_tensors() {
    let _alone = alone();
    let files = [("train-images", &[40_000, 28, 28][..]), ("train-labels", &[40_000]), ("test-images", &[400, 28, 28])];
    let files = files.into_iter().chain([("test-labels", &[400][..])]).map(|(slot, sizes)| (slot, idx(sizes)));
    check("IDX", r#"{"format":"Idx"}"#, files.collect(), 40_400 * (784 + 4), 2.3);
}

#[test]
fn folders_of_pictures_take_a_small_multiple_of_their_tensors() {
    let _alone = alone();
    let archive = folders(200, &png(200, 200));
    let params = r#"{"format":{"Folders":{"size":[200,200]}},"validation":null}"#;
    check("folders", params, vec![("archive", archive)], 400 * 3 * 200 * 200, 2.5);
}

#[test]
fn many_tiny_pictures_take_what_an_entry_takes() {
    let _alone = alone();
    let archive = folders(25_000, &png(1, 1));
    let packed = archive.len();
    let params = r#"{"format":{"Folders":{"size":[1,1]}},"validation":null}"#;
    let (outputs, peak, estimate) = decode(params, vec![("archive", archive)]);
    outputs.unwrap();
    println!("50,000 pictures in {packed} bytes: peak {:.1} MiB, {} bytes each", mib(peak), peak / 50_000);
    assert!(peak < 50_000 * 1500 && peak < estimate, "{} bytes for each, estimated {estimate}", peak / 50_000);
}

#[test]
fn only_a_few_large_pictures_are_decoded_at_a_time() {
    let _alone = alone();
    // Each takes 72 MiB while it is decoded, and is thought to take twice that.
    let archive = folders(4, &png(5000, 5000));
    let params = r#"{"format":{"Folders":{"size":[20,20]}},"validation":null}"#;
    check("large pictures", params, vec![("archive", archive)], 300 * MIB, 0.6);
}

#[test]
fn a_bomb_takes_next_to_nothing() {
    let _alone = alone();
    let zeros = vec![0; MIB];
    let huge = gzip(&[(&header("data_batch_1.bin", 3073 * 1024 * 512), 1), (&zeros, 1537)]);
    refuse("a huge batch", CIFAR10, vec![("archive", huge)], 1.0, "expected at most 268435456");
    let skipped = gzip(&[(&header("readme", 1537 * MIB), 1), (&zeros, 1537)]);
    refuse("a huge file beside", CIFAR10, vec![("archive", skipped)], 1.0, "expected at most 268435456");
    let empty = header("x", 0);
    let many = gzip(&[(&empty, 1), (&zeros, 1), (&zeros, 1536)]);
    refuse("zeros at the end", CIFAR10, vec![("archive", many)], 2.0, "unpacks to more than 268435456");
    let names = gzip(&[(&header("batches.meta.txt", 100 * MIB), 1), (&zeros, 100)]);
    refuse("a huge file of names", CIFAR10, vec![("archive", names)], 1.0, "expected at most 65536");
    let mut name = header("x", 200 * MIB);
    name[156] = b'L';
    name[148..156].fill(b' ');
    let sum: u32 = name.iter().map(|byte| u32::from(*byte)).sum();
    name[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let name = gzip(&[(&name, 1), (&[b'x'; MIB], 200)]);
    refuse("a long name", CIFAR10, vec![("archive", name)], 4.0, "a header is longer than");
    let one = gzip(&[(&zeros, 1)]);
    let members = vec![one; 400].concat();
    refuse("many members", CIFAR10, vec![("archive", members)], 1.0, "unpacks to more than 268435456");
}

#[test]
fn a_bomb_within_the_limits_takes_what_they_say() {
    let _alone = alone();
    let zeros = vec![0; MIB];
    let batch = header("data_batch_1.bin", 3073 * 1024 * 80);
    let bomb = gzip(&[(&batch, 1), (&zeros, 241)]);
    refuse("240 MiB of zeros", CIFAR10, vec![("archive", bomb)], 256.0, "the archive has no entry");
}

#[test]
fn idx_headers_are_believed_only_within_the_limits() {
    let _alone = alone();
    let file = |sizes: &[u32], zeros: usize| {
        let magic = 0x0800 | sizes.len() as u32;
        let head: Vec<u8> = [magic].iter().chain(sizes).flat_map(|word| word.to_be_bytes()).collect();
        gzip(&[(&head, 1), (&vec![0; MIB], zeros)])
    };
    let small = || file(&[1], 0);
    let files = |images: Vec<u8>, labels| {
        vec![("train-images", images), ("train-labels", labels), ("test-images", small()), ("test-labels", small())]
    };
    let params = r#"{"format":"Idx"}"#;
    refuse(
        "IDX of 4 GiB",
        params,
        files(file(&[1 << 20, 64, 64], 0), small()),
        1.0,
        "found 0 bytes, expected 1048576 x 64 x 64",
    );
    refuse("IDX that overflows", params, files(file(&[u32::MAX; 3], 0), small()), 1.0, "expected at most 4096 a side");
    refuse("IDX that is cut", params, files(file(&[200, 1024, 1024], 1), small()), 4.0, "found 1048576 bytes");
    refuse("IDX with a tail", params, files(file(&[1, 1, 1], 200), small()), 256.0, "found 209715200 bytes");
    let labels = file(&[200 << 20], 200);
    refuse("labels without images", params, files(file(&[1, 1024, 1024], 1), labels), 256.0, "holds 209715200 labels");
}

#[test]
fn the_contact_sheet_of_large_images_is_bounded() {
    let _alone = alone();
    let file = |sizes: &[u32], bytes: &[u8]| {
        let magic = 0x0800 | sizes.len() as u32;
        let head: Vec<u8> = [magic].iter().chain(sizes).flat_map(|word| word.to_be_bytes()).collect();
        gzip(&[(&head, 1), (bytes, 1)])
    };
    let labels: Vec<u8> = (0..20).collect();
    let (images, labels) = (file(&[20, 2000, 2000], &vec![0; 20 * 2000 * 2000]), file(&[20], &labels));
    let files = |images: Vec<u8>| {
        let [a, b] = [images.clone(), labels.clone()];
        vec![("train-images", images), ("train-labels", labels.clone()), ("test-images", a), ("test-labels", b)]
    };
    let (outputs, peak, _) = decode(r#"{"format":"Idx","validation":null}"#, files(images));
    outputs.unwrap();
    println!("a contact sheet of large images: peak {:.1} MiB", mib(peak));
    // With all 20 rows it would have 800 million pixels.
    assert!(mib(peak) < 820.0, "peak {:.1} MiB", mib(peak));
    let wide = file(&[1, 1, 8192], &[0; 8192]);
    refuse("wide images", r#"{"format":"Idx"}"#, files(wide), 1.0, "images of 1 x 8192, expected at most 4096 a side");
}

#[test]
fn a_picture_is_refused_by_its_header() {
    let _alone = alone();
    let mut huge = png(1, 1);
    huge[16..24].copy_from_slice(&[0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff]);
    let params = r#"{"format":{"Folders":{"size":[20,20]}},"validation":null}"#;
    refuse("a huge picture", params, vec![("archive", folders(1, &huge))], 2.0, "65535 x 65535 pixels");
}

#[test]
fn a_picture_takes_no_more_than_its_header_says() {
    let _alone = alone();
    let colours = image::DynamicImage::ImageRgba8(image::RgbaImage::from_fn(1024, 1024, |x, y| {
        image::Rgba([x as u8, y as u8, (x * y) as u8, (x + y) as u8])
    }));
    let file = |picture: &image::DynamicImage, format| {
        let mut file = std::io::Cursor::new(Vec::new());
        picture.write_to(&mut file, format).unwrap();
        file.into_inner()
    };
    let wide = image::DynamicImage::from(colours.to_rgba16());
    let opaque = image::DynamicImage::from(colours.to_rgb8());
    let files = [
        ("PNG, 8 bits", file(&colours, ImageFormat::Png)),
        ("PNG, 16 bits", file(&wide, ImageFormat::Png)),
        ("WebP", file(&colours, ImageFormat::WebP)),
        ("GIF", file(&colours, ImageFormat::Gif)),
        ("BMP", file(&colours, ImageFormat::Bmp)),
        ("TIFF, 8 bits", file(&colours, ImageFormat::Tiff)),
        ("TIFF, 16 bits", file(&wide, ImageFormat::Tiff)),
        ("PPM", file(&opaque, ImageFormat::Pnm)),
        ("JPEG", jpeg(1024, false)),
        ("progressive JPEG", jpeg(1024, true)),
    ];
    for (name, file) in files {
        for reading in [Reading::of_size(1024, 1024), Reading::of_size(20, 30), Reading::of_size(2000, 1500)] {
            let estimate = pictures::memory(&file, &reading) as usize;
            let before = NOW.load(Relaxed);
            PEAK.store(before, Relaxed);
            let planes = pictures::planes(&file, &reading).unwrap();
            let peak = PEAK.load(Relaxed) - before;
            println!("{name} to {:?}: peak {:.1} MiB, estimated {:.1} MiB", reading.size, mib(peak), mib(estimate));
            assert!(peak <= estimate, "{name}: {:.1} MiB, estimated {:.1} MiB", mib(peak), mib(estimate));
            if name.contains("JPEG") {
                assert!(planes.iter().all(|sample| *sample == 128), "{name}");
            }
        }
    }
}
