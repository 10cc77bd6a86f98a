use super::JpegError::{self, Damaged, Unsupported};
use super::bits::EntropyData;
use super::{Color, decode_rgb, luma_eighth, parse};

const FILES: [&str; 9] = [
    "gray.jpg",
    "rgb.jpg",
    "ycc411.jpg",
    "ycc420_exif.jpg",
    "ycc420_refined_restarts.jpg",
    "ycc420_three_scans.jpg",
    "ycc422_optimized.jpg",
    "ycc440_restarts.jpg",
    "ycc444_progressive.jpg",
];

fn file(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/images/jpeg/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The 64-bit FNV-1a hash.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &b| (hash ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

/// Where the contents of the first segment with this marker begin, behind its length.
fn segment(bytes: &[u8], marker: u8) -> usize {
    bytes.windows(2).position(|pair| pair == [0xFF, marker]).unwrap() + 4
}

fn luma(bytes: &[u8]) -> Result<Vec<f32>, JpegError> {
    luma_eighth(bytes).map(|eighth| eighth.data)
}

fn rgb(bytes: &[u8]) -> Result<Vec<u8>, JpegError> {
    decode_rgb(bytes).map(|picture| picture.data)
}

#[test]
fn values_are_those_of_pillow() {
    let expected = String::from_utf8(file("expected.txt")).unwrap();
    let mut seen = 0;
    for line in expected.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&str> = line.split(' ').collect();
        let bytes = file(words[0]);
        let picture = decode_rgb(&bytes).unwrap();
        assert_eq!(picture.width.to_string(), words[1], "{line}");
        assert_eq!(picture.height.to_string(), words[2], "{line}");
        assert_eq!(format!("{:016x}", fnv(&picture.data)), words[3], "{line}");
        if words[4] == "-" {
            assert_eq!(luma(&bytes), Err(Unsupported("no luma component")));
        } else {
            let eighth = luma_eighth(&bytes).unwrap();
            assert_eq!((eighth.blocks_w, eighth.blocks_h), (picture.width.div_ceil(8), picture.height.div_ceil(8)));
            let values: Vec<f32> = words[4..].iter().map(|word| word.parse().unwrap()).collect();
            assert_eq!(eighth.data.len(), values.len());
            assert!(eighth.data.iter().zip(&values).all(|(a, b)| (a - b).abs() <= 0.5), "{line}: {:?}", eighth.data);
        }
        seen += 1;
    }
    assert_eq!(seen, FILES.len());
}

#[test]
fn header_gives_size_and_exif() {
    let bytes = file("ycc420_exif.jpg");
    let header = parse(&bytes).unwrap();
    assert_eq!((header.width, header.height, header.progressive, header.color), (53, 37, false, Color::YCbCr));
    assert!(matches!(header.exif, Some([b'M', b'M', 0, 42, ..] | [b'I', b'I', 42, 0, ..])));
    assert_eq!(luma_eighth(&bytes).unwrap().exif, header.exif);
    assert!(parse(&file("ycc444_progressive.jpg")).unwrap().progressive);
    assert_eq!(parse(&file("gray.jpg")).unwrap().color, Color::Gray);
    assert_eq!(parse(&file("rgb.jpg")).unwrap().color, Color::Rgb);
}

#[test]
fn other_kinds_are_unsupported() {
    let arithmetic = file("ycc420_arithmetic.jpg");
    assert!(matches!(parse(&arithmetic), Err(Unsupported(_))));

    let mut twelve_bits = file("gray.jpg");
    let frame = segment(&twelve_bits, 0xC0);
    twelve_bits[frame] = 12;
    assert!(matches!(parse(&twelve_bits), Err(Unsupported(_))));

    let mut lossless = file("gray.jpg");
    lossless[frame - 3] = 0xC3;
    assert!(matches!(parse(&lossless), Err(Unsupported(_))));

    let mut large_chroma = file("ycc444_progressive.jpg");
    let frame = segment(&large_chroma, 0xC2);
    large_chroma[frame + 10] = 0x21;
    assert_eq!(luma(&large_chroma), Err(Unsupported("luma of reduced resolution")));
}

#[test]
fn truncated_files_are_damaged() {
    for name in FILES {
        let bytes = file(name);
        for length in (0..bytes.len()).step_by(9) {
            assert!(matches!(rgb(&bytes[..length]), Err(Damaged(_))), "{name} {length}");
            // Without a luma component, that is found out before the end of the file.
            let luma = luma(&bytes[..length]);
            assert!(matches!(luma, Err(Damaged(_) | Unsupported("no luma component"))), "{name} {length} {luma:?}");
        }
    }
}

#[test]
fn damaged_files_do_not_panic() {
    for name in FILES {
        let original = file(name);
        for at in (0..original.len()).step_by(9) {
            let mut bytes = original.clone();
            bytes[at] ^= [0x01, 0x10, 0x80, 0xFF][at % 4];
            if parse(&bytes).is_ok_and(|header| header.width * header.height < 100_000) {
                let _ = luma(&bytes);
                let _ = rgb(&bytes);
            }
        }
    }
}

#[test]
fn missing_parts_are_damage() {
    let original = file("ycc420_exif.jpg");
    for (marker, what) in [(0xDB, "missing quantization table"), (0xC4, "missing DC Huffman table")] {
        let mut bytes = original.clone();
        // As a comment, the segment is skipped.
        while let Some(at) = bytes.windows(2).position(|pair| pair == [0xFF, marker]) {
            bytes[at + 1] = 0xFE;
        }
        assert_eq!(luma(&bytes), Err(Damaged(what)));
        assert_eq!(rgb(&bytes), Err(Damaged(what)));
    }

    let mut no_scan = original.clone();
    let scan = segment(&no_scan, 0xDA);
    no_scan[scan - 3] = 0xD9;
    assert_eq!(parse(&no_scan).err(), Some(Damaged("no scan")));
    assert_eq!(luma(&no_scan), Err(Damaged("no scan of the luma component")));
    assert_eq!(rgb(&no_scan), Err(Damaged("no scan")));

    let mut flat = original.clone();
    let frame = segment(&flat, 0xC0);
    flat[frame + 1..frame + 3].fill(0);
    assert_eq!(parse(&flat).err(), Some(Damaged("picture without pixels")));

    let mut misnumbered = file("ycc440_restarts.jpg");
    let second = segment(&misnumbered, 0xD1) - 3;
    misnumbered[second] = 0xD2;
    assert_eq!(luma(&misnumbered), Err(Damaged("misnumbered restart marker")));
    assert_eq!(rgb(&misnumbered), Err(Damaged("misnumbered restart marker")));
}

#[test]
fn harmless_additions_change_nothing() {
    for name in FILES {
        let original = file(name);
        let (luma_before, rgb_before) = (luma(&original), rgb(&original));
        assert!(rgb_before.is_ok());

        let mut padded = original.clone();
        padded.extend(b"behind the end");
        padded.extend(&original);
        // Fill bytes before the first marker and before the end, and a comment.
        padded.splice(2..2, [0xFF, 0xFF, 0xFF, 0xFE, 0, 3, 0]);
        padded.splice(original.len() + 5..original.len() + 5, [0xFF, 0xFF]);
        assert_eq!(luma(&padded), luma_before, "{name}");
        assert_eq!(rgb(&padded), rgb_before, "{name}");
    }
}

#[test]
fn stuffing_and_restart_markers_are_removed() {
    let (data, length) = EntropyData::new(&[1, 0xFF, 0, 0xFF, 0xFF, 0xD0, 2, 3, 0xFF, 0xD9, 4]).unwrap();
    assert_eq!((length, data.len()), (8, 4));
    assert_eq!([data.interval(0), data.interval(1), data.interval(2)], [0..2, 2..4, 4..4]);
    assert_eq!((data.interval_at(1), data.interval_at(2)), (0, 1));

    let mut bits = data.reader(data.interval(0));
    bits.refill();
    assert_eq!((bits.receive(8), bits.receive(4), bits.left()), (1, 15, 4));
    assert_eq!((bits.receive_extend(4), bits.check()), (15, Ok(())));
    assert_eq!((bits.receive_extend(2), bits.check()), (-3, Err(Damaged("scan data ends too early"))));
}
